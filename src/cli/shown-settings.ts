/**
 * The settings in force, as they may be shown: where each comes from, and nothing secret.
 */
import type { EffectiveSetting, LoadedConfig, Origin } from '../config/config.ts'
import { showUrl } from './show-url.ts'

export interface ShownSetting {
  readonly variable: string
  readonly value: string
  readonly source: string
}

/** @returns Every setting, in the order of the table. */
export function shownSettings({ settings, config }: Pick<LoadedConfig, 'settings' | 'config'>) {
  return settings.map(({ variable, text, origin }: EffectiveSetting): ShownSetting => ({
    variable,
    value: text.split(',').map(hideIn).join(','),
    source: sourceOf(origin, config.idp),
  }))
}

/** Credentials and queries of a URL; a text that is none is shown whole. */
function hideIn(member: string): string {
  return /^\s*[a-z]+:/i.test(member) && member.includes('/') ? showUrl(member) : member
}

function sourceOf(origin: Origin, idp: string): string {
  switch (origin.by) {
    case 'variable':
    case 'file':
      return origin.name
    case 'idp':
      return `IDP=${idp}`
    case 'default':
      return 'default'
    case 'unset':
      return 'not set'
  }
}
