//! Attribute values as Otlier itself writes them. A bigint is an int, a number is a double.

export type AttributeValue = string | boolean | number | bigint | readonly string[] | readonly number[]
export type Attributes = Readonly<Record<string, AttributeValue>>
