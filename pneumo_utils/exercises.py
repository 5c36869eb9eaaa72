"""Says to a reader of a lesson whether an answer is right."""

from collections.abc import Callable


def check_answer(answer, *rules: tuple[Callable[[object], bool], str]) -> None:
    """Prints "Not tried yet." for `...`, the hint of the first rule that an answer breaks, or "Right.".

    Args:
        answer: What the reader's cell has left; never an error, whatever it is.
        rules: A test of the answer and a hint each; a test that raises is one that is not passed.
    """
    if answer is ...:
        print("Not tried yet.")
        return
    for is_met, hint in rules:
        try:
            passed = bool(is_met(answer))
        except Exception:
            passed = False
        if not passed:
            print(f"Not yet. {hint}")
            return
    print("Right.")
