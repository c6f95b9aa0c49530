//! The laws of references to environment variables.
// biome-ignore-all lint/suspicious/noTemplateCurlyInString: references are what is tested
import { describe, expect, test } from 'vitest'
import { substitute } from '../../src/base/substitute.ts'

const variables = { HOST: 'jaeger', EMPTY: '', PASSWORD: 'a$$b${env:HOST}$', _x1: 'under' }

describe('references to variables', () => {
  test.each([
    ['${env:HOST}', 'jaeger'],
    ['${HOST}', 'jaeger'],
    ['http://${env:HOST}:${env:PORT:-4318}/x', 'http://jaeger:4318/x'],
    ['${env:_x1}', 'under'],
    ['${env:HOST:-other}', 'jaeger'],
    ['${env:NONE:-other}', 'other'],
    ['${NONE:-a:-b}', 'a:-b'],
    ['${env:NONE:-}', ''],
    ['${env:EMPTY}', ''],
    ['${env:EMPTY:-other}', ''],
    ['$$', '$'],
    ['$${env:HOST}', '${env:HOST}'],
    ['$$$$', '$$'],
    ['pa$word', 'pa$word'],
    ['100$', '100$'],
    ['$HOST', '$HOST'],
    ['', ''],
  ])('%s becomes %j', (text, expected) => {
    expect(substitute(text, variables)).toMatchObject({ text: expected, problems: [] })
  })

  test('what a variable holds is taken as it is: a password is not read for references', () => {
    expect(substitute('${env:PASSWORD}', variables).text).toBe(variables.PASSWORD)
  })

  test.each([
    ['${env:NONE}', /NONE is not set.*\$\{env:NONE:-value\}/],
    ['${env:1A}', /cannot be the name.*\$\$/],
    ['${env:}', /cannot be the name/],
    ['${}', /cannot be the name/],
    ['${a b}', /cannot be the name/],
    [`\${env:${'A'.repeat(201)}}`, /cannot be the name/],
    ['${file:/etc/passwd}', /file:\.\.\.\} is not supported/],
    ['${env:HOST', /not closed/],
    ['${env:NONE:-${env:HOST}}', /cannot hold another reference/],
    ['${env:toString}', /toString is not set/],
    ['${env:__proto__}', /not set/],
  ])('%.30s is told, not guessed', (text, expected) => {
    const { problems } = substitute(text, variables)
    expect(problems).toHaveLength(1)
    expect(problems[0]).toMatch(expected)
  })

  test('only a text that is one reference from end to end is whole', () => {
    expect(substitute('${env:EMPTY}', variables).whole).toBe(true)
    expect(substitute('x${env:EMPTY}', variables).whole).toBe(false)
    expect(substitute('${env:EMPTY}${env:EMPTY}', variables).whole).toBe(false)
    expect(substitute('plain', variables).whole).toBe(false)
  })
})
