"""Write the dashboard."""

from tools.dashboard import FILE, written

if __name__ == "__main__":
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_text(written(), encoding="utf-8")
