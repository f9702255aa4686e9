from hyperkube_core import HyperKube

LONG = "This is an all-in-one binary that can run any of the various Kubernetes-Mesos servers."


def main() -> None:
    HyperKube("km", long=LONG, group="km.servers").run_to_exit()
