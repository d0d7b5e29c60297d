/**
 * @module
 * Scripts that make shells complete commands, options and files, printed from the table of commands.
 */
import { type Command, optionsOf } from './command.ts'

/** Shells that can be completed. */
export const SHELLS = ['bash', 'zsh', 'fish'] as const

type Shell = (typeof SHELLS)[number]

/** Tell whether this is a shell that can be completed. */
export function isShell(text: string): text is Shell {
  return SHELLS.some((shell) => shell === text)
}

/** The script of a shell. */
export function completionFor(shell: Shell, commands: readonly Command[]): string {
  return WRITERS[shell](commands)
}

const WRITERS: Record<Shell, (commands: readonly Command[]) => string> = { bash, zsh, fish }

/** What stands after a command beside options. */
function words(command: Command): string[] | 'file' | 'folder' | undefined {
  if (command.name === 'completion') return [...SHELLS]
  return command.args?.find((one) => one.completes)?.completes
}

function flags(command: Command): string[] {
  return optionsOf(command).flatMap(({ name, short }) => [
    `--${name}`,
    ...(short ? [`-${short}`] : []),
  ])
}

function bash(commands: readonly Command[]): string {
  const names = commands.map(({ name }) => name).join(' ')
  const cases = commands.map((command) => {
    const all = words(command)
    const kind = typeof all === 'string' ? `kind=${all}; ` : ''
    const more = Array.isArray(all) ? `words="${all.join(' ')}"; ` : ''
    return `    ${command.name}) ${kind}${more}flags="${flags(command).join(' ')}" ;;`
  })
  return `# helios completion for bash
_helios() {
  # Bash takes : for the end of a word; put the words of helios together again.
  local line=\${COMP_LINE:0:COMP_POINT} parts cur command="" part flags="" words="" kind="" given
  read -r -a parts <<< "$line"
  [[ $line == *[[:space:]] ]] && parts+=("")
  cur=\${parts[\${#parts[@]}-1]}
  for part in "\${parts[@]:1:\${#parts[@]}-2}"; do
    if [[ $part != -* ]]; then command=$part; break; fi
  done
  COMPREPLY=()
  if [[ -z $command || $command == help ]]; then
    words="${names}"
  fi
  case $command in
${cases.join('\n')}
  esac
  if [[ $cur == -* ]]; then words=$flags; kind=""; fi
  if [[ -n $words ]]; then mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur"); fi
  given=\${parts[\${#parts[@]}-2]}
  if [[ $kind == folder ]]; then mapfile -t COMPREPLY < <(compgen -d -- "$cur")
  elif [[ $kind == file || $given == --*file ]]; then mapfile -t COMPREPLY < <(compgen -f -- "$cur"); fi
  # What stands before the last : is on the line already.
  if [[ $cur == *:* && $COMP_WORDBREAKS == *:* ]]; then
    local before=\${cur%"\${cur##*:}"} at
    for at in "\${!COMPREPLY[@]}"; do COMPREPLY[at]=\${COMPREPLY[at]#"$before"}; done
  fi
}
complete -o filenames -F _helios helios
`
}

function zsh(commands: readonly Command[]): string {
  const listed = commands.map(
    ({ name, about }) => `    ${quote(`${name.replace(/:/g, '\\:')}:${about}`)}`,
  )
  const cases = commands.map((command) => {
    const specs = optionsOf(command).flatMap(({ name, short, value, about }) => {
      const says = `[${about.replace(/[[\]:\\]/g, '\\$&')}]`
      const takes = value === undefined ? '' : `:${value}:${/FILE/.test(value) ? '_files' : ''}`
      return [`--${name}`, ...(short ? [`-${short}`] : [])].map((flag) =>
        quote(`${flag}${says}${takes}`),
      )
    })
    const all = words(command)
    const rest = Array.isArray(all)
      ? `*: :(${all.join(' ')})`
      : all === undefined
        ? ''
        : `*: :_files${all === 'folder' ? ' -/' : ''}`
    return `    ${command.name}) _arguments ${[...specs, ...(rest ? [quote(rest)] : [])].join(' ')} ;;`
  })
  return `#compdef helios
# helios completion for zsh
_helios() {
  local -a commands
  commands=(
${listed.join('\n')}
  )
  if (( CURRENT == 2 )) || [[ $CURRENT == 3 && \${words[2]} == help ]]; then
    _describe command commands
    return
  fi
  local command=\${words[2]}
  shift words
  (( CURRENT-- ))
  case $command in
${cases.join('\n')}
  esac
}
if [[ \${funcstack[1]} == _helios ]]; then _helios "$@"; else compdef _helios helios; fi
`
}

function fish(commands: readonly Command[]): string {
  const lines = commands.flatMap((command) => {
    const { name, about } = command
    const on = `-n ${quote(`__fish_seen_subcommand_from ${name}`)}`
    const options = optionsOf(command).map((option) => {
      const short = option.short ? ` -s ${option.short}` : ''
      const takes = option.value === undefined ? '' : ` -r${/FILE/.test(option.value) ? ' -F' : ''}`
      return `complete -c helios ${on} -l ${option.name}${short}${takes} -d ${quote(option.about)}`
    })
    const all = words(command)
    const rest = Array.isArray(all)
      ? [`complete -c helios ${on} -a ${quote(all.join(' '))}`]
      : all === undefined
        ? []
        : [`complete -c helios ${on} -F`]
    return [
      `complete -c helios -n __fish_use_subcommand -a ${name} -d ${quote(about)}`,
      ...options,
      ...rest,
    ]
  })
  return `# helios completion for fish\ncomplete -c helios -f\n${lines.join('\n')}\n`
}

// In single quotes of the three shells; fish reads a backslash in them too, so none may end the text.
function quote(text: string): string {
  return `'${text.replace(/'/g, '’')}'`
}
