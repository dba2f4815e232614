/** The one place where YAML's snake_case keys and TypeScript's camelCase options meet. */

/** `weight_decay` is weightDecay; PyTorch's `T_max` is tMax. */
export function camelCase(key: string): string {
  return key
    .replace(/(?<=[a-z0-9])_([a-z0-9])/gi, (_, letter: string) => letter.toUpperCase())
    .replace(/^[A-Z]/, (letter) => letter.toLowerCase())
}

export function snakeCase(key: string): string {
  return key.replace(/(?<!^)[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
}

/** `OnlineKNN`, `online-knn`, `online_knn` are one name when asked for: this form is compared. */
export function looseName(name: string): string {
  return name.toLowerCase().replaceAll(/[-_]/g, '')
}
