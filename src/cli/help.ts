/**
 * What `--help` says.
 */

export const HELP = `alb-auth-sidecar: lets through what the load balancer signed, and nothing else.

Usage:
  alb-auth-sidecar                          serve, as the environment says
  alb-auth-sidecar check [--json] [--alb-idle DURATION]
  alb-auth-sidecar explain [--json] [--at TIME] [--key FILE]... FILE
  alb-auth-sidecar explain path [--json] [METHOD] PATH
  alb-auth-sidecar --help | --version

check    prints the configuration in force and where each value comes from, and tries it: the key
         endpoint, discovery and key set of the identity provider, the application, the keep-alive
         time against the load balancer's, and what each open rule opens.
           --json               the same for a program
           --alb-idle DURATION  the load balancer's idle timeout, 60s unless given

explain  says what the sidecar would do with a request, and why: every check in order, what was
         expected and found, and the variable that governs it. FILE, or - for standard input, holds
         a token, request headers as lines or as a JSON object, a "copy as cURL" (bash), or the
         output of curl -v. No token leaves this machine or is printed; only keys are fetched.
           --json               the same for a program
           --at TIME            at another moment: 2026-11-20T09:00:00Z, or seconds since 1970
           --key FILE           with this key (PEM, or a JWKS) and without the network; repeatable

explain path
         says whether a path is open or guarded, by which rule, or why no rule can open it.

The settings are environment variables, the same for every command: docs/configuration.md.

Exit codes:
  0   served and drained; check found nothing wrong; explain: the request would go on
  1   a fault; check found something wrong; explain: the request would be refused
  2   the command could not be understood, or its input not be read
  78  the configuration cannot be used (check says so with 1)
`
