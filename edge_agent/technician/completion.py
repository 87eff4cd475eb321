"""Completion scripts for shells, made from the command line itself."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Final, Literal

_BASH: Final = """# aislectl completion for bash: aislectl completion bash > /etc/bash_completion.d/aislectl
_aislectl() {{
    local cur="${{COMP_WORDS[COMP_CWORD]}}" path="" word
    for word in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
        case "$path $word" in
{steps}
        esac
    done
    case "$path" in
{words}
    esac
}}
complete -F _aislectl aislectl
"""

_ZSH: Final = """#compdef aislectl
# aislectl completion for zsh: aislectl completion zsh > "${{fpath[1]}}/_aislectl"
autoload -U +X bashcompinit && bashcompinit
{bash}"""


def script(shell: Literal["bash", "zsh"], parser: argparse.ArgumentParser) -> str:
    """The script to be read by a shell."""
    levels = dict(_levels(parser, ()))
    steps = [f'            "{_path(path[:-1])} {path[-1]}") path="{_path(path)}" ;;' for path in levels if path]
    words = [
        f'        "{_path(path)}") COMPREPLY=($(compgen -W "{" ".join(found)}" -- "$cur")) ;;'
        for path, found in levels.items()
    ]
    bash = _BASH.format(steps="\n".join(steps), words="\n".join(words))
    return bash if shell == "bash" else _ZSH.format(bash=bash)


def _path(path: tuple[str, ...]) -> str:
    return "/".join(path)


def _levels(parser: argparse.ArgumentParser, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], list[str]]]:
    """Every point of the command line that a word leads to, and what may follow there."""
    follows = [name for action in parser._actions for name in action.option_strings if name.startswith("--")]
    below = next((action for action in parser._actions if isinstance(action, argparse._SubParsersAction)), None)
    for action in parser._actions:
        if action is not below and not action.option_strings and action.choices:
            follows += [str(choice) for choice in action.choices]
    if below is not None:
        follows += list(below.choices)
    yield path, follows
    for name, inner in (below.choices if below is not None else {}).items():
        yield from _levels(inner, (*path, name))
