"""What every part rests on: errors, files, random streams, processes, GPUs, plug-ins by file name."""
