"""Admission: what a request must pass beside authorization, and what it has filled in on the way.

The write path asks a chain of plugins twice: first they may change the object, then they see it as it would be stored.
Source: k8s.io/apiserver/pkg/admission, k8s.io/kubernetes/plugin/pkg/admission.
"""

from hyperkube_apiserver.admission.catalog import PLUGINS, build_chain
from hyperkube_apiserver.admission.chain import Chain
from hyperkube_apiserver.admission.cluster import Cluster
from hyperkube_apiserver.admission.plugin import DEFAULT_ADMISSION, AdmissionSettings, Plugin

__all__ = ["DEFAULT_ADMISSION", "PLUGINS", "AdmissionSettings", "Chain", "Cluster", "Plugin", "build_chain"]
