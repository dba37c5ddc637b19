/**
 * The commands beside serving: which one is meant, and how each ends.
 */
import { ConfigFault, loadConfig } from '../config/config.ts'
import { EXIT } from '../core/exit.ts'
import { check } from './check.ts'
import { explain } from './explain.ts'
import { HELP } from './help.ts'
import { Usage, type Terminal } from './terminal.ts'

/**
 * Runs one command to its end.
 *
 * @param terminal Its `args` hold at least one word.
 * @returns The exit code. Rejects only for faults of ours.
 */
export async function run(terminal: Terminal): Promise<number> {
  const { args, environment, print, printError } = terminal
  const [command, ...rest] = args
  const options = rest.slice(0, rest.includes('--') ? rest.indexOf('--') : rest.length)
  if (command === '--version' || command === '-v') {
    print(`${terminal.version}\n`)
    return EXIT.fine
  }
  if (command === '--help' || command === '-h' || options.some(isHelp)) {
    print(HELP)
    return EXIT.fine
  }
  const load = () => loadConfig(environment)
  try {
    if (command === 'check') return await check(rest, load, terminal)
    if (command === 'explain') return await explain(rest, load, terminal)
    throw new Usage('the commands are check and explain; without one it serves')
  } catch (error) {
    if (error instanceof ConfigFault) {
      printError(`${error.message}\n`)
      return EXIT.config
    }
    const message = usageIn(error)
    if (message === undefined) throw error
    printError(`${message}\nsee alb-auth-sidecar --help\n`)
    return EXIT.usage
  }
}

function isHelp(word: string): boolean {
  return word === '--help' || word === '-h'
}

/** What node's own reader of arguments says quotes them, and one may be a token. */
function usageIn(error: unknown): string | undefined {
  if (error instanceof Usage) return error.message
  const isAboutArguments =
    error instanceof TypeError &&
    'code' in error &&
    typeof error.code === 'string' &&
    error.code.startsWith('ERR_PARSE_ARGS_')
  return isAboutArguments ? 'there is no such option here, or it lacks its value' : undefined
}
