"""The exercise room: tasks that a student solves in `work/`, and their answers."""
