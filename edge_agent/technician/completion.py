"""Completion scripts for shells, made from the command line itself."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from typing import Final, Literal, get_args

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

# `path` is a word of zsh itself: the list behind PATH. The last line is for both ways, found by zsh or read by hand.
_ZSH: Final = """#compdef aislectl
# aislectl completion for zsh: aislectl completion zsh > "${{fpath[1]}}/_aislectl"
_aislectl() {{
    local at="" word
    for word in "${{(@)words[2,CURRENT-1]}}"; do
        case "$at $word" in
{steps}
        esac
    done
    case "$at" in
{words}
    esac
}}
[[ $funcstack[1] = _aislectl ]] && _aislectl || compdef _aislectl aislectl
"""

_FISH: Final = """# aislectl completion for fish: aislectl completion fish > ~/.config/fish/completions/aislectl.fish
function __aislectl_next
    set -l path ""
    for word in (commandline -opc)[2..]
        switch "$path $word"
{steps}
        end
    end
    switch "$path"
{words}
    end
end
complete -c aislectl -f -a "(__aislectl_next)"
"""

Shell = Literal["bash", "zsh", "fish"]
SHELLS: Final = get_args(Shell)


# How each shell writes: "at this point, this word leads to that point", and "at this point, these may follow".
_DIALECTS: Final[Mapping[Shell, tuple[str, str, str]]] = {
    "bash": (_BASH, '"{at} {word}") path="{to}" ;;', '"{at}") COMPREPLY=($(compgen -W "{found}" -- "$cur")) ;;'),
    "zsh": (_ZSH, '"{at} {word}") at="{to}" ;;', '"{at}") compadd -- {found} ;;'),
    "fish": (_FISH, 'case "{at} {word}"; set path "{to}"', 'case "{at}"; string split " " -- "{found}"'),
}


def script(shell: Shell, parser: argparse.ArgumentParser) -> str:
    """The script to be read by a shell."""
    whole, step, offer = _DIALECTS[shell]
    levels = dict(_levels(parser, ()))
    steps = [step.format(at=_path(path[:-1]), word=path[-1], to=_path(path)) for path in levels if path]
    offers = [offer.format(at=_path(path), found=" ".join(found)) for path, found in levels.items()]
    return whole.format(steps=_indented(steps, 12), words=_indented(offers, 8))


def _indented(lines: list[str], by: int) -> str:
    return "\n".join(" " * by + line for line in lines)


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
