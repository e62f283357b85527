"""Tools of the repository: what builds, checks and packs flaggerpy; nothing here is shipped in the wheel."""
