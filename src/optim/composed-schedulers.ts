/** Schedulers made of schedulers: one after the other (SequentialLR) or all at once (ChainedScheduler). */
import { SptError } from '../errors.js'
import { LRScheduler, type ScheduledOptimizer, type Scheduler, readNumber } from './scheduler.js'

/** What can be run from its own beginning, and so be a part of another schedule: all but ReduceLROnPlateau. */
export type ChainableScheduler = LRScheduler | SequentialLR | ChainedScheduler

/** Runs `schedulers[i]` until `milestones[i]`; each starts at its own step 0. */
export class SequentialLR implements Scheduler {
  readonly optimizer: ScheduledOptimizer
  readonly schedulers: ChainableScheduler[]
  readonly milestones: number[]
  lastEpoch = 0

  constructor(optimizer: ScheduledOptimizer, options: { schedulers: ChainableScheduler[]; milestones: number[] }) {
    const { schedulers, milestones } = options
    if (schedulers.length !== milestones.length + 1) {
      throw new SptError(
        'ERR_ARGUMENT',
        `${schedulers.length} schedulers need ${schedulers.length - 1} milestones, got ${milestones.length}`,
      )
    }
    schedulers.forEach((member) => checkMember(member, optimizer))
    this.optimizer = optimizer
    this.schedulers = schedulers
    this.milestones = milestones
    // Every member applied its step 0 when it was built: go back, then apply only the first.
    for (const group of optimizer.groups) group.lr = group.initialLr ?? group.lr
    schedulers.forEach(undoFirstStep)
    schedulers[0]?.step()
  }

  step(): void {
    this.lastEpoch += 1
    const index = this.milestones.filter((milestone) => milestone <= this.lastEpoch).length
    const current = this.member(index)
    if (index > 0 && this.milestones[index - 1] === this.lastEpoch) restart(current)
    else current.step()
  }

  /** The milestones may have moved with the length of the run: whichever member is due takes its own step. */
  realign(step: number = this.lastEpoch): void {
    this.lastEpoch = step
    const index = this.milestones.filter((milestone) => milestone <= step).length
    const current: Scheduler = this.member(index)
    current.realign?.(step - (this.milestones[index - 1] ?? 0))
  }

  getLastLr(): number[] {
    return this.optimizer.groups.map((group) => group.lr)
  }

  state(): Record<string, unknown> {
    return { lastEpoch: this.lastEpoch, schedulers: this.schedulers.map((member) => member.state()) }
  }

  loadState(state: Record<string, unknown>): void {
    this.lastEpoch = readNumber(state, 'lastEpoch')
    loadMembers(this.schedulers, state)
  }

  private member(index: number): ChainableScheduler {
    const member = this.schedulers[index]
    if (!member) throw new SptError('ERR_INTERNAL', `SequentialLR has no scheduler ${index}`)
    return member
  }
}

/** Steps all schedulers one after the other, so that their factors multiply. */
export class ChainedScheduler implements Scheduler {
  readonly optimizer: ScheduledOptimizer
  readonly schedulers: ChainableScheduler[]

  constructor(optimizer: ScheduledOptimizer, options: { schedulers: ChainableScheduler[] }) {
    if (options.schedulers.length === 0)
      throw new SptError('ERR_ARGUMENT', 'ChainedScheduler needs a scheduler, got none')
    options.schedulers.forEach((member) => checkMember(member, optimizer))
    this.optimizer = optimizer
    this.schedulers = options.schedulers
  }

  step(): void {
    for (const member of this.schedulers) member.step()
  }

  getLastLr(): number[] {
    return this.optimizer.groups.map((group) => group.lr)
  }

  state(): Record<string, unknown> {
    return { schedulers: this.schedulers.map((member) => member.state()) }
  }

  loadState(state: Record<string, unknown>): void {
    loadMembers(this.schedulers, state)
  }
}

function checkMember(member: ChainableScheduler, optimizer: ScheduledOptimizer): void {
  if (!(member instanceof LRScheduler || member instanceof SequentialLR || member instanceof ChainedScheduler)) {
    const name = (member as object).constructor.name
    throw new SptError(
      'ERR_ARGUMENT',
      `${name} cannot be a part of another schedule: it has no beginning to go back to`,
    )
  }
  if (member.optimizer !== optimizer) {
    throw new SptError('ERR_ARGUMENT', `${member.constructor.name} is a schedule of another optimizer than the whole`)
  }
}

function undoFirstStep(member: ChainableScheduler): void {
  if (member instanceof LRScheduler) member.lastEpoch -= 1
  else member.schedulers.forEach(undoFirstStep)
}

function restart(member: ChainableScheduler): void {
  if (member instanceof LRScheduler) member.restart(0)
  else member.schedulers.forEach(restart)
}

function loadMembers(members: ChainableScheduler[], state: Record<string, unknown>): void {
  const saved = state.schedulers
  if (!Array.isArray(saved) || saved.length !== members.length) {
    const count = Array.isArray(saved) ? saved.length : 0
    throw new SptError('ERR_CHECKPOINT', `scheduler state has ${count} schedulers, this run has ${members.length}`)
  }
  members.forEach((member, index) => member.loadState(saved[index] as Record<string, unknown>))
}
