"""``retouch dialog``: a face is edited as a person, or the simulated user, asks for it round by round."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:  # the list of commands must not wait for torch
    from torch import Tensor

    from ..envs.face_dialog import FaceDialog
    from .dialog import Conversation, Exchange
    from .dialog_pictures import Album
    from .pictures import Picture

TASK = "FaceDialog-v0"
GOODBYES = ("", "quit", "exit")
HINT = 'Say what to change: "a bit more beard", "no, less", "that\'s all". An empty line ends it.'
NO_HEAD = "No face was found in the photo, so its middle is taken: cut it to a head if that is elsewhere."
DRAWN = "This world is drawn: here is the face nearest to the photo, a likeness and no more."

Settings = Annotated[list[str] | None, typer.Argument(metavar="env.KEY=VALUE", help="Of the task.", show_default=False)]
Image = Annotated[
    str | None,
    typer.Option(help="A photo of somebody [default: a face by --seed].", show_default=False),
]
Policy = Annotated[
    str | None,
    typer.Option(
        help="Who edits: shipped; field, the published editor; none; or a run's folder [default: shipped, in a "
        "--world field]."
    ),
]
Simulate = Annotated[bool, typer.Option("--simulate", help="The simulated user talks, not you.")]
Wish = Annotated[
    list[str] | None,
    typer.Option(metavar="ATTRIBUTE=DEGREE", help="Of the simulated user, any number of them [default: by --seed]."),
]
World = Annotated[str | None, typer.Option(help="embedded, or a folder with the published networks.")]
Say = Callable[..., None]  # a text, and whether the line ends


def dialog(
    settings: Settings = None,
    image: Image = None,
    policy: Policy = None,
    simulate: Simulate = False,
    wish: Wish = None,
    world: World = None,
    out: Annotated[Path | None, typer.Option(help="The folder to write to [default: dialogs/NAME].")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Decides the face, and what is said.")] = 0,
    device: Annotated[str, typer.Option(help="cpu, cuda, or auto: the accelerator where there is one.")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object, for scripts.")] = False,
) -> None:
    """Edit a face in a dialog: ask, look, and ask again.

    Bangs, glasses, beard, smile and age can be changed. Writes the face after every round, as round_0.png, round_1.png
    ... and as now.png for a viewer that reloads, and at the end dialog.png, all of them with what was said. An empty
    line, "quit", Ctrl-D and Ctrl-C end it. Lines may be piped in.

        retouch dialog --seed 3

        retouch dialog --image photo.jpg --out me env.size=128

        retouch dialog --simulate --wish beard=3 --wish smiling=5
    """
    from .dialog import begin
    from .dialog_pictures import Album
    from .display import status
    from .face_policies import face_task
    from .players import make_player

    def say(text: str, ends: bool = True) -> None:
        typer.echo(text, nl=ends, err=as_json)

    policy = policy or ("shipped" if world is None else "field")
    with status() as tell:
        tell(f"loading {policy}")
        player = make_player(TASK, policy, [*(settings or []), *of_world(world)], device)
    task = face_task(player.task)
    name, photo, latent = find_face(task, image, say) if image else (f"face-{seed}", None, None)
    conversation = begin(task, player.agent, seed, latent, simulate, wish or [])
    album = Album(out or Path("dialogs") / name, photo)
    result: dict[str, Any] = {"policy": policy, "seed": seed, "image": image}
    print_result(result | hold(conversation, album, simulate, say), as_json)


def of_world(world: str | None) -> list[str]:
    """The settings that a world needs: of published faces nobody knows the truth."""
    if world is None:
        return []
    unknown = [] if world == "embedded" else ["env.judge=predictor", "env.reward=attributes"]
    return [f"env.world={world}", *unknown]


def find_face(task: "FaceDialog", image: str, say: Say) -> tuple[str, "Picture", "Tensor"]:
    """The photo's name, its pixels, and the latent of the face nearest to it, found while showing progress."""
    from .display import counted
    from .painters import find_photo
    from .portraits import head, portrait

    name, photo = find_photo(image)
    found = head(photo)
    if found is None:
        say(NO_HEAD)
    photo = photo if found is None else found
    try:
        with counted(f"looking at {name}") as tell:
            latent = portrait(task.world, photo, task.device, tell)
    except KeyboardInterrupt:
        typer.echo("stopped: nothing was written", err=True)
        raise typer.Exit(130) from None
    if task.scores.exact is not None:
        say(DRAWN)
    return name, photo, latent


def hold(conversation: "Conversation", album: "Album", simulate: bool, say: Say) -> dict[str, Any]:
    """Hold the conversation, telling and drawing it as it goes; what came of it, also where it is broken off."""
    typed, start, greeting = not simulate and sys.stdin.isatty(), conversation.degrees, conversation.greeting()
    first = album.add(conversation.picture)
    album.write("", "at first", greeting)
    if not simulate:
        say(f"The face is in {first} and, as it changes, in {album.folder / 'now.png'}.\n{HINT}\n")
    say(f"Editor: {greeting}")
    rounds: list[dict[str, Any]] = []
    with suppress(KeyboardInterrupt):
        for exchange in conversation.simulated() if simulate else chat(conversation, typed, say):
            rounds.append(tell(exchange, album, typed, say))
    if not simulate and not conversation.over:
        say("\n" * typed + f"Editor: {conversation.farewell()}")
    return {
        "start": start,
        "rounds": rounds,
        "reached": conversation.degrees,
        **asdict(conversation.outcome()),
        "files": [str(path) for path in [*album.files, album.close()]],
    }


def chat(conversation: "Conversation", typed: bool, say: Say) -> Iterator["Exchange"]:
    """What comes of the lines that a person types, or a script pipes in."""
    if isinstance(sys.stdin, TextIOWrapper):
        sys.stdin.reconfigure(errors="replace")
    while not conversation.over:
        say("User:   " * typed, False)
        text = sys.stdin.readline().strip()
        if text.lower() in GOODBYES:
            return
        yield conversation.tell(text)


def tell(exchange: "Exchange", album: "Album", typed: bool, say: Say) -> dict[str, Any]:
    """Show an exchange, the user's words unless ``typed``; the same for a script."""
    picture, note = None, ""
    if not typed:
        say(f"User:   {exchange.user}")
    if exchange.picture is not None:
        picture, note = str(album.add(exchange.picture)), exchange.changed
        say(f"        [{exchange.changed}: {picture}]")
    album.write(exchange.user, note, exchange.editor)
    say(f"Editor: {exchange.editor}")
    return {"user": exchange.user, "editor": exchange.editor, "degrees": exchange.after, "picture": picture}


def print_result(result: dict[str, Any], as_json: bool) -> None:
    from .dialog import changes

    if as_json:
        typer.echo(json.dumps(result, indent=2))
        return
    shown = {"reached": changes(result["start"], result["reached"])}
    if result["wished"]:
        before, after = result["distance"]
        shown = {
            "wished": changes(result["start"], result["wished"]),
            **shown,
            "missing": f"{after:.1f} degrees in the mean of all attributes, {before:.1f} at first",
            "others": f"moved by {result['others']:.1f} degrees",
        }
    shown |= {"person": f"{result['alike']:.2f} alike", "ended": result["ended"]}
    typer.echo()
    for label, value in shown.items():
        typer.echo(f"{label:9}{value}")
    for number, path in enumerate(result["files"]):
        typer.echo(f"{'files' if number == 0 else '':9}{path}")
