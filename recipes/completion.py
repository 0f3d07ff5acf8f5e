"""Shell completion for `kerassl`, from the source of the launchers: nothing is imported that takes long."""

import ast
import functools
import importlib.util
import pathlib
from collections.abc import Iterator

# Each command and the module of its launcher.
COMMANDS = {
    "pretrain": "pretrain",
    "evaluate": "evaluate",
    "distill": "distill",
    "classify": "classify",
    "fine-tune": "fine_tune",
    "semi-supervised": "semi_supervised",
    "embed": "embed",
    "export": "export",
    "report": "evaluate",
}
# The folder of kerassl whose classes are the values of --method.
ROOMS = {"pretrain": "methods", "distill": "distillation", "classify": "classifiers"}
USAGE = """Usage: kerassl completion bash|zsh|fish

bash: eval "$(kerassl completion bash)"     in ~/.bashrc
zsh:  eval "$(kerassl completion zsh)"      in ~/.zshrc, after compinit
fish: kerassl completion fish | source      in ~/.config/fish/config.fish"""

BASH = """_kerassl() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} flag= words=
    # bash takes = for a word of its own.
    if [[ $word == = ]]; then
        flag=${{COMP_WORDS[COMP_CWORD-1]}} word=
    elif [[ ${{COMP_WORDS[COMP_CWORD-1]}} == = ]]; then
        flag=${{COMP_WORDS[COMP_CWORD-2]}}
    fi
    if (( COMP_CWORD == 1 )); then
        words="{commands}"
    else
        case ${{COMP_WORDS[1]}}:$flag in
{cases}
        esac
    fi
    COMPREPLY=($(compgen -W "$words" -- "$word"))
    if [[ ${{COMPREPLY[0]}} == *= ]]; then
        compopt -o nospace
    fi
}}
complete -o default -F _kerassl kerassl"""

ZSH = """#compdef kerassl
_kerassl() {{
    if (( CURRENT == 2 )); then
        compadd -- {commands}
        return
    fi
    case $words[2]:$words[CURRENT] in
{cases}
    esac
}}
compdef _kerassl kerassl"""


def script(shell: str) -> str:
    """The script that completes commands, flags and methods.

    Args:
        shell: a name of `SCRIPTS`.
    """
    return SCRIPTS[shell]()


def summary(module: str) -> str:
    """The first line of a launcher's docstring."""
    return ast.get_docstring(_source(module)).splitlines()[0]


def flags(module: str) -> list[str]:
    """The flags of a launcher: `--name=` with a value, `--name` and `--noname` without."""
    (run,) = (
        node for node in _source(module).body if isinstance(node, ast.FunctionDef) and node.name == "run"
    )
    shared = {node.name: node for node in _source("training_flags").body if isinstance(node, ast.ClassDef)}
    found = []
    for argument in (*run.args.args, *run.args.kwonlyargs):
        kind = ast.unparse(argument.annotation)
        found += _fields(kind, shared) if kind in shared else [(argument.arg, kind)]
    found += [("config", "str"), ("verbosity", "int")]
    names = [[f"--{name}", f"--no{name}"] if kind == "bool" else [f"--{name}="] for name, kind in found]
    return [*(flag for pair in names for flag in pair), "--help"]


def methods(command: str) -> list[str]:
    """The values of a command's `--method`, which are the names of the classes' recipes; of others none."""
    if command not in ROOMS:
        return []
    (package,) = importlib.util.find_spec("kerassl").submodule_search_locations
    files = (pathlib.Path(package) / ROOMS[command]).rglob("*.py")
    return sorted(name for file in files for name in _recipes(ast.parse(file.read_text(encoding="utf-8"))))


def _recipes(module: ast.Module) -> Iterator[str]:
    """The keys of `recipes = {...}` in the classes of a module."""
    for node in module.body:
        for line in node.body if isinstance(node, ast.ClassDef) else ():
            if isinstance(line, ast.Assign) and ast.unparse(line.targets[0]) == "recipes":
                yield from (key.value for key in line.value.keys)


def _bash() -> str:
    cases = []
    for command, module in COMMANDS.items():
        if methods(command):
            cases.append(f'{command}:--method) words="{" ".join(methods(command))}" ;;')
        cases.append(f'{command}:) words="{" ".join(flags(module))}" ;;')
    cases.append(f'completion:) words="{" ".join(SCRIPTS)}" ;;')
    return BASH.format(commands=_commands(), cases=_indented(cases))


def _zsh() -> str:
    cases = []
    for command, module in COMMANDS.items():
        if methods(command):
            names = " ".join(methods(command))
            cases.append(f"{command}:--method=*) compset -P '*='; compadd -- {names} ;;")
        cases.append(f"{command}:--*=*) compset -P '*='; _files ;;")
        cases.append(f"{command}:*) compadd -S '' -- {' '.join(flags(module))} ;;")
    cases.append(f"completion:*) compadd -- {' '.join(SCRIPTS)} ;;")
    return ZSH.format(commands=_commands(), cases=_indented(cases))


def _fish() -> str:
    lines = [f'complete -c kerassl -n __fish_use_subcommand -xa "{_commands()}"']
    for command, module in COMMANDS.items():
        begin = f'complete -c kerassl -n "__fish_seen_subcommand_from {command}" -l '
        for flag in flags(module):
            name = flag.removeprefix("--").removesuffix("=")
            values = f'{name} -xa "{" ".join(methods(command))}"' if name == "method" else f"{name} -r"
            lines.append(begin + (values if flag.endswith("=") else name))
    scripts = " ".join(SCRIPTS)
    lines.append(f'complete -c kerassl -n "__fish_seen_subcommand_from completion" -xa "{scripts}"')
    return "\n".join(lines)


SCRIPTS = {"bash": _bash, "zsh": _zsh, "fish": _fish}


def _commands() -> str:
    return " ".join((*COMMANDS, "methods", "completion", "--help", "--version"))


def _indented(cases: list[str]) -> str:
    return "\n".join(f"            {case}" for case in cases)


def _fields(name: str, classes: dict[str, ast.ClassDef]) -> list[tuple[str, str]]:
    inherited = [field for base in classes[name].bases for field in _fields(ast.unparse(base), classes)]
    own = [node for node in classes[name].body if isinstance(node, ast.AnnAssign)]
    return inherited + [(node.target.id, ast.unparse(node.annotation)) for node in own]


@functools.cache
def _source(module: str) -> ast.Module:
    return ast.parse(pathlib.Path(__file__).with_name(f"{module}.py").read_text(encoding="utf-8"))
