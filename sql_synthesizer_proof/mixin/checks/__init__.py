"""What ``mixin check`` holds: the committed files, among each other and against the code."""
