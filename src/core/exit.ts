/**
 * The codes by which the process says how it ended; `--help` lists those of a command.
 *
 * @see sysexits.h: EX_CONFIG (78) says that starting again will not help
 */
export const EXIT = { fine: 0, refused: 1, fault: 1, usage: 2, config: 78 } as const
