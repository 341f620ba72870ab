"""Ways to find out whether what was forgotten comes back. A file of this folder is one and is found by its name.

It holds

    NEEDS = ("wording",)                          # what a task must give, or (): see `lethe.tasks`

    @dataclass(frozen=True)
    class Options                                 # `level`, its strength, and whatever else may be chosen

and one of

    def perturb_model(options, model, sets, encoding) -> sets
        # changes the model in place and returns the examples to be scored; `sets` are frames by the name of the set,
        # `encoding(frame)` their rows of tokens

    def beginning(options) -> str
        # what every answer to a prompt begins with, before what is scored

    def rewritten(options, text, draw) -> str
        # another wording of the beginning of a text, of all of a text that is classified; `draw` is a random generator
        # of the example's own
"""
