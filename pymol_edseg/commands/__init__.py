"""The commands of the plugin, by theme."""
