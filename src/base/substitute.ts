//! `${env:NAME}`, `${env:NAME:-default}` and `$$` in the text of a setting.

export type Variables = Readonly<Record<string, string | undefined>>

export interface Substituted {
  readonly text: string
  /** The whole text was one reference, so that an empty variable means "nothing written". */
  readonly whole: boolean
  /** What could not be replaced, each as a sentence. */
  readonly problems: readonly string[]
}

const MAX_NAME = 200
const NAME = /^[A-Za-z_][A-Za-z0-9_]*$/
// Non-greedy up to the first brace: references do not nest.
const REFERENCE = /\$\$|\$\{([^}]*)\}?/g

/**
 * Replaces references to environment variables. `${NAME}` is short for `${env:NAME}`. A lone `$` stays, and the
 * value of a variable is taken as it is: a password with a `$` in it is safe there.
 */
export function substitute(text: string, variables: Variables): Substituted {
  const problems: string[] = []
  let whole = false
  const replaced = text.replace(REFERENCE, (found, inner: string | undefined) => {
    if (found === '$$') return '$'
    whole = found.length === text.length
    if (!found.endsWith('}')) {
      problems.push(`\`${found}\` is not closed by }; write $$ for a $ that is meant`)
      return ''
    }
    const value = lookUp(inner ?? '', variables)
    if (typeof value === 'string') return value
    problems.push(value.problem)
    return ''
  })
  return { text: replaced, whole, problems }
}

function lookUp(inner: string, variables: Variables): string | { problem: string } {
  const scheme = /^([a-z][a-z0-9+.-]*):(?!-)/.exec(inner)
  if (scheme !== null && scheme[1] !== 'env') {
    return {
      problem: `\${${scheme[1]}:...} is not supported; only \${env:NAME} and \${env:NAME:-default} are`,
    }
  }
  const reference = scheme === null ? inner : inner.slice(scheme[0].length)
  const cut = reference.indexOf(':-')
  const name = cut === -1 ? reference : reference.slice(0, cut)
  if (!NAME.test(name) || name.length > MAX_NAME) {
    return {
      problem: `\`${name.slice(0, MAX_NAME)}\` cannot be the name of an environment variable; write $$ for a $ that is meant`,
    }
  }
  const value = Object.hasOwn(variables, name) ? variables[name] : undefined
  if (value !== undefined) return value
  if (cut !== -1) {
    const fallback = reference.slice(cut + 2)
    return fallback.includes('${') ? { problem: 'a default cannot hold another reference' } : fallback
  }
  return {
    problem: `the environment variable ${name} is not set; set it, or give a default: \${env:${name}:-value}`,
  }
}
