"""The files a build reads, checked and ordered: events, catalogue, users, playlists."""
