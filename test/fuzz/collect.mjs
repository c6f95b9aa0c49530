//! Loaded before the service under fuzz: at SIGUSR2 it gives back what is free, so that resident memory tells of leaks and not of laziness.
import { giveBack } from '../../src/base/heap.ts'

process.on('SIGUSR2', giveBack)
