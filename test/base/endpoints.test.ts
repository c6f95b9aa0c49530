//! The laws of addresses: where to listen and where to send.
import { describe, expect, test } from 'vitest'
import { formatListen, maskUrl, parseListen, parseTarget, parseUrl } from '../../src/base/endpoints.ts'

const wrong = { wrong: expect.any(String) }

describe('an address to listen on', () => {
  test.each([
    ['127.0.0.1:4317', { host: '127.0.0.1', port: 4317 }],
    ['localhost:0', { host: 'localhost', port: 0 }],
    ['0.0.0.0:65535', { host: '0.0.0.0', port: 65_535 }],
    ['[::1]:4317', { host: '::1', port: 4317 }],
    [':4317', { host: '::', port: 4317 }],
    ['my-host.example:80', { host: 'my-host.example', port: 80 }],
    ['none', null],
  ])('%s', (text, expected) => {
    expect(parseListen(text)).toEqual(expected)
  })

  test.each([
    '4317',
    'localhost',
    'localhost:',
    'localhost:65536',
    'localhost:-1',
    'localhost:04317',
    'localhost:1e3',
    '::1:4317',
    'a b:1',
    'http://localhost:4317',
    '[::1]',
    'a/b:1',
  ])('not %s', text => {
    expect(parseListen(text)).toEqual(wrong)
  })

  test('what is printed is read as the same', () => {
    for (const address of [
      { host: '::1', port: 1 },
      { host: 'a', port: 0 },
    ])
      expect(parseListen(formatListen(address))).toEqual(address)
  })
})

describe('where gRPC is sent', () => {
  test.each([
    ['jaeger:4317', null, 'jaeger', 4317],
    ['http://jaeger:4317', 'http', 'jaeger', 4317],
    ['https://jaeger:4317/', 'https', 'jaeger', 4317],
    ['https://otlp.example.com', 'https', 'otlp.example.com', 443],
    ['http://jaeger', 'http', 'jaeger', 80],
    ['[::1]:4317', null, '::1', 4317],
    ['dns:///jaeger:4317', null, 'jaeger', 4317],
    ['dns:jaeger:4317', null, 'jaeger', 4317],
    ['unix:///run/otlp.sock', null, '', 0],
    ['unix:relative.sock', null, '', 0],
  ])('%s', (url, scheme, host, port) => {
    expect(parseTarget(url)).toEqual({ url, scheme, host, port })
  })

  test.each([
    'jaeger',
    'http://jaeger:4317/v1/traces',
    'jaeger:0',
    'jaeger:x',
    'user:pw@jaeger:4317',
    'ftp://jaeger:21',
    '::1:4317',
    'http://',
    '',
  ])('not %j', text => {
    expect(parseTarget(text)).toEqual(wrong)
  })
})

describe('where HTTP is sent', () => {
  test.each([
    ['http://localhost:4318', 'http', 'localhost', 4318],
    ['https://x.example/otlp?key=1', 'https', 'x.example', 443],
    ['http://[::1]:4318', 'http', '::1', 4318],
    ['HTTP://X', 'http', 'x', 80],
  ])('%s', (url, scheme, host, port) => {
    expect(parseUrl(url)).toEqual({ url, scheme, host, port })
  })

  test.each(['localhost:4318', 'ftp://x', '/v1/traces', 'http://', 'http://x:99999', 'http://x/#a'])(
    'not %s',
    text => {
      expect(parseUrl(text)).toEqual(wrong)
    },
  )
})

test('a password in an address is never shown, in messages neither', () => {
  const secret = 'hunter2'
  for (const url of [
    `http://me:${secret}@x:1/a`,
    `me:${secret}@x:1`,
    `${secret}@x:1`,
    `https://${secret}@x`,
    `ftp://me:${secret}@x`,
    `http://me:${secret}/y@x`,
  ]) {
    expect(maskUrl(url)).not.toContain(secret)
    for (const parse of [parseUrl, parseTarget]) {
      const read = parse(url)
      if ('wrong' in read) expect(read.wrong).not.toContain(secret)
    }
  }
  expect(maskUrl('http://x:4318/v1')).toBe('http://x:4318/v1')
})
