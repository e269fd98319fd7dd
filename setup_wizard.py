"""``wrenlite-setup`` from a checkout. All of it is in ``wrenlite.deploy.wizard``."""

try:
    from wrenlite.deploy.wizard import main
except ModuleNotFoundError as error:
    raise SystemExit(f"{error.name} is not installed for this Python: pip install . does it") from error

main()
