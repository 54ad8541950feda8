"""The page that shows the workspace: its drawings, templates and style."""
