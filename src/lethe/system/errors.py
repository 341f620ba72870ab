"""The one error a user can cause."""


class InputError(ValueError):
    """Bad input: one line that names the file, the key, the value and what is allowed.

    The command line prints it without a traceback and exits with status 2. Its text never holds the
    content of a record, only its id.
    """
