"""Roads that come with the package: `reid run NAME`."""
