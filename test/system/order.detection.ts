//! Laws of order in two more worlds. In the last one spans are few and far between.
import { sameInWorld } from './order.ts'

sameInWorld(24)
sameInWorld(23)
