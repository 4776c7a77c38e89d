"""``pvefw completion``: what a shell needs so that its Tab key knows pvefw."""

import click

from pvefw.cli.framework import Command

_BASH = r"""# Completion of pvefw for bash 4.4 and later; printed by: pvefw completion bash
_pvefw_complete() {
    local kind value help
    COMPREPLY=()
    while IFS=$'\t' read -r kind value help; do
        case $kind in
            plain) COMPREPLY+=("$value") ;;
            part) COMPREPLY+=("$value"); compopt -o nospace ;;
            file) compopt -o default ;;
            dir) compopt -o dirnames ;;
        esac
    done < <(_PVEFW_COMPLETE=bash _PVEFW_BREAKS=$COMP_WORDBREAKS \
        "$1" "${COMP_LINE:0:COMP_POINT}" 2>/dev/null)
}
complete -o nosort -F _pvefw_complete pvefw
"""
_ZSH = r"""#compdef pvefw
# Completion of pvefw for zsh; printed by: pvefw completion zsh
_pvefw() {
    local -a values shown parts
    local kind value help files=0 dirs=0
    local line="${(j: :)words[1,CURRENT-1]} $PREFIX"
    while IFS=$'\t' read -r kind value help; do
        case $kind in
            plain) values+=("$value"); shown+=("$value${help:+  -- $help}") ;;
            part) parts+=("$value") ;;
            file) files=1 ;;
            dir) dirs=1 ;;
        esac
    done < <(_PVEFW_COMPLETE=zsh "${(Q)words[1]}" "$line" 2>/dev/null)
    (( $#values )) && compadd -l -V pvefw -d shown -a values
    (( $#parts )) && compadd -S '' -V pvefw-parts -a parts
    (( files )) && _files
    (( dirs )) && _files -/
    return 0
}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    _pvefw "$@"
else
    compdef _pvefw pvefw
fi
"""
_FISH = r"""# Completion of pvefw for fish; printed by: pvefw completion fish
function __pvefw_complete
    set -l line (commandline --current-process --cut-at-cursor | string collect)
    for row in (_PVEFW_COMPLETE=fish pvefw "$line" 2>/dev/null)
        set -l parts (string split --max 2 \t -- $row)
        switch $parts[1]
            case plain part
                string join \t -- $parts[2..]
            case file
                __fish_complete_path (commandline --current-token)
            case dir
                __fish_complete_directories (commandline --current-token)
        end
    end
end
complete --command pvefw --no-files --keep-order --arguments '(__pvefw_complete)'
"""
SCRIPTS = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}


@click.command(cls=Command)
@click.argument("shell", type=click.Choice(list(SCRIPTS)))
def completion(shell: str) -> None:
    """Print the completion script for SHELL.

    For all users: bash into /etc/bash_completion.d/pvefw, zsh into
    /usr/local/share/zsh/site-functions/_pvefw, fish into /etc/fish/completions/pvefw.fish.
    """
    click.echo(SCRIPTS[shell], nl=False)
