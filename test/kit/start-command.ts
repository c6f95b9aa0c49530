//! What `npm start` puts before the command and gives to Node, for proofs that start Otlier as it does.
import packageJson from '../../package.json' with { type: 'json' }

const { start } = packageJson.scripts

export const startEnvironment = (): Record<string, string> =>
  Object.fromEntries([...start.matchAll(/(\w+)=(\S+)/g)].map(([, name, value]) => [name, value]))

export const startFlags = (): string[] => start.match(/(?<= )--\S+(?= (?:\S+ )*src\/main\.ts)/g) ?? []
