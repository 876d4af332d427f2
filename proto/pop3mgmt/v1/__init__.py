"""Version 1 of the contract; the modules are generated from the ``.proto`` files beside this."""
