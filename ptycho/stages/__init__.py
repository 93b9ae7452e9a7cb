"""The stages: one module a row of the stage table, each with the functions that `ptycho.artifacts.stage.Stage` names."""
