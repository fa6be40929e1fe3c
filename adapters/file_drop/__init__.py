"""The file-drop adapter: CSV and JSON Lines both ways through one private folder."""
