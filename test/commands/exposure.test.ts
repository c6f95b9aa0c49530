//! The law of what is said about addresses that others can reach.
import { expect, test } from 'vitest'
import { isLoopback } from '../../src/base/endpoints.ts'
import { exposures } from '../../src/commands/exposure.ts'
import { load } from '../kit/settings.ts'

const GRPC = 'receivers.otlp.protocols.grpc'
const said = async (...set: string[]) => exposures((await load({ set })).config)

test('the defaults, and all of loopback, need no word', async () => {
  expect(await said()).toEqual([])
  expect(
    await said(
      `${GRPC}.endpoint=127.1.2.3:1`,
      'service.metrics.endpoint=[::1]:2',
      'service.view.endpoint=localhost:3',
    ),
  ).toEqual([])
})

test('a receiver that others reach is told of, unless it has TLS and asks who sends', async () => {
  const open = `${GRPC}.endpoint=0.0.0.0:4317`
  const tls = [`${GRPC}.tls.cert_file=c`, `${GRPC}.tls.key_file=k`]
  const token = `${GRPC}.auth.bearer_token_file=t`
  expect(await said(open)).toEqual([
    'receivers.otlp.protocols.grpc.endpoint 0.0.0.0:4317 is open to the network without TLS and without authentication: whoever reaches it can send, and what is sent can be read on the way. Set tls and auth, or listen on 127.0.0.1.',
  ])
  expect(await said(open, token)).toEqual([
    expect.stringMatching(/without TLS: telemetry, tokens and passwords/),
  ])
  expect(await said(open, ...tls)).toEqual([expect.stringMatching(/network without authentication: /)])
  expect(await said(open, ...tls, token)).toEqual([])
  expect(await said(open, ...tls, `${GRPC}.auth.basic_file=u`)).toEqual([])
  expect(await said(open, ...tls, `${GRPC}.tls.client_ca_file=ca`)).toEqual([])
})

test('metrics and the view are told of wherever others reach them; health says nothing worth hiding', async () => {
  expect(
    await said(
      'service.metrics.endpoint=:8888',
      'service.view.endpoint=10.0.0.1:4319',
      'service.health.endpoint=0.0.0.0:13133',
    ),
  ).toEqual([
    expect.stringMatching(/^service\.metrics\.endpoint \[::\]:8888 is open to the network/),
    expect.stringMatching(/^service\.view\.endpoint 10\.0\.0\.1:4319 is open to the network/),
  ])
})

test('a name that looks like loopback is none', () => {
  for (const host of ['localhost', 'LOCALHOST', '127.0.0.1', '127.255.0.9', '::1', '::ffff:127.0.0.1'])
    expect([host, isLoopback(host)]).toEqual([host, true])
  for (const host of [
    '0.0.0.0',
    '::',
    '127.0.0.1.example',
    'localhost.example',
    '128.0.0.1',
    '10.0.0.1',
    'otlier',
    '',
  ])
    expect([host, isLoopback(host)]).toEqual([host, false])
})
