"""Run ``wrenlite-setup`` from a checkout. The wizard itself is ``wrenlite.deploy.wizard``."""

try:
    from wrenlite.deploy.wizard import main
except ModuleNotFoundError as error:
    raise SystemExit(
        f"the package {error.name} is not installed for this Python: run pip install . first"
    ) from error

main()
