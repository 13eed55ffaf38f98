"""The completion scripts of `inv --print-completion-script`, for bash, zsh and fish.

They are registered for `inv`, which the shells apply to `./inv` and any other path to a program of
that name as well, and they run the program that was typed."""

from __future__ import annotations

from ops.core.config.problems import shortened
from ops.core.errors import ConfigError

_BASH = r"""# eval "$(./inv --print-completion-script bash)"   in ~/.bashrc
_inv_complete() {
    local program=$1 line partial=$2
    case $program in "~/"*) program=$HOME/${program#"~/"} ;; esac
    COMPREPLY=()
    while IFS= read -r line; do
        line=${line%%$'\t'*}
        # bash replaces only what follows the last = or : of the word
        case $partial in *[=:]*) ;; *) case $line in --*=*) line=${line#*=} ;; esac ;; esac
        COMPREPLY+=("$(printf '%q' "$line")")
    done < <("$program" --complete -- "${COMP_WORDS[@]:0:COMP_CWORD}" "${COMP_WORDS[COMP_CWORD]}" \
        2>/dev/null)
}
complete -o bashdefault -o default -F _inv_complete inv ecs-runbook
"""
_ZSH = r"""# eval "$(./inv --print-completion-script zsh)"   in ~/.zshrc
(( $+functions[compdef] )) || { autoload -Uz compinit && compinit }
_inv_complete() {
    local program=${~${(Q)words[1]}} line text
    local -a found
    for line in ${(f)"$($program --complete -- "${(@Q)words[1,CURRENT]}" 2>/dev/null)"}; do
        text=${line%%$'\t'*}
        text=${text//:/\\:}
        [[ $line == *$'\t'?* ]] && text+=:${line#*$'\t'}
        found+=("$text")
    done
    if (( $#found )); then _describe -V 'inv' found; else _files; fi
}
compdef _inv_complete inv ecs-runbook
"""
_FISH = r"""# ./inv --print-completion-script fish | source   in ~/.config/fish/config.fish
function _inv_complete
    set -l words (commandline -opc)
    set -l program (string replace -r '^~/' "$HOME/" -- $words[1])
    $program --complete -- $words (commandline -ct) 2>/dev/null
end
complete -c inv -f -a '(_inv_complete)'
complete -c ecs-runbook -f -a '(_inv_complete)'
"""
_SCRIPTS = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}


def script(shell: str) -> str:
    """The script for a shell. Raises ConfigError for another shell."""
    if shell not in _SCRIPTS:
        what = f"--print-completion-script {shortened(shell)}"
        why = f"known are: {', '.join(_SCRIPTS)}"
        raise ConfigError(what, why, "inv --print-completion-script bash")
    return _SCRIPTS[shell]
