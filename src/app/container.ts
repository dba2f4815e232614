/**
 * Who makes what, once: typed tokens and factories over tsyringe, which no other file imports.
 * No decorators and no injection by type: test runners and transpilers disagree about their metadata.
 */
import 'reflect-metadata'
import {
  container as root,
  instancePerContainerCachingFactory,
  type DependencyContainer,
  type InjectionToken,
} from 'tsyringe'

/** Names a service and its type. */
export interface Token<T> {
  readonly key: InjectionToken<T>
}

export function token<T>(name: string): Token<T> {
  return { key: Symbol(name) }
}

/** A run is a child container; a test replaces one registration and leaves the rest. */
export class Container {
  readonly #services: DependencyContainer
  readonly #made: (() => unknown)[] = []

  constructor(parent?: Container) {
    this.#services = parent === undefined ? root.createChildContainer() : parent.#services.createChildContainer()
  }

  /** Says how a service is made: on first use, once in this container. `dispose` is called when the run ends. */
  register<T>(service: Token<T>, make: (container: Container) => T, dispose?: (made: T) => unknown): this {
    this.#services.register(service.key, {
      useFactory: instancePerContainerCachingFactory(() => {
        const made = make(this)
        if (dispose !== undefined) this.#made.push(() => dispose(made))
        return made
      }),
    })
    return this
  }

  get<T>(service: Token<T>): T {
    return this.#services.resolve(service.key)
  }

  /** Ends what was made here, the newest first; all of it, also when one fails. */
  async dispose(): Promise<void> {
    const failures: unknown[] = []
    for (const end of this.#made.splice(0).toReversed()) {
      try {
        await end()
      } catch (error) {
        failures.push(error)
      }
    }
    if (failures.length > 0) throw failures[0]
  }
}
