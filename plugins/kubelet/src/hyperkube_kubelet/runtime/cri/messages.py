"""The messages of the container runtime interface, and those of containerd's events that are read here.

Numbers are those of CRI v1 as Kubernetes 1.36 has it; what the kubelet neither writes nor reads is left out.
Source: k8s.io/cri-api/pkg/apis/runtime/v1/api.proto, containerd/api/services/events/v1, containerd/api/events.
"""

from __future__ import annotations

from hyperkube_machinery.grpc import Messages

__all__ = ["MESSAGES", "SIGNALS"]

_SANDBOXES = """
PodSandboxMetadata: name=1:string uid=2:string namespace=3:string attempt=4:uint
DNSConfig: servers=1:string* searches=2:string* options=3:string*
PortMapping: protocol=1:int container_port=2:int host_port=3:int host_ip=4:string
IDMapping: host_id=1:uint container_id=2:uint length=3:uint
UserNamespace: mode=1:int uids=2:IDMapping* gids=3:IDMapping*
NamespaceOption: network=1:int pid=2:int ipc=3:int target_id=4:string userns_options=5:UserNamespace
Int64Value: value=1:int
UInt64Value: value=1:uint
SecurityProfile: profile_type=1:int localhost_ref=2:string
SELinuxOption: user=1:string role=2:string type=3:string level=4:string
LinuxSandboxSecurityContext: namespace_options=1:NamespaceOption selinux_options=2:SELinuxOption\
 run_as_user=3:Int64Value run_as_group=8:Int64Value readonly_rootfs=4:bool supplemental_groups=5:int*\
 supplemental_groups_policy=11:int privileged=6:bool seccomp=9:SecurityProfile apparmor=10:SecurityProfile\
 seccomp_profile_path=7:string
LinuxPodSandboxConfig: cgroup_parent=1:string security_context=2:LinuxSandboxSecurityContext sysctls=3:map\
 overhead=4:LinuxContainerResources resources=5:LinuxContainerResources
PodSandboxConfig: metadata=1:PodSandboxMetadata hostname=2:string log_directory=3:string dns_config=4:DNSConfig\
 port_mappings=5:PortMapping* labels=6:map annotations=7:map linux=8:LinuxPodSandboxConfig
RunPodSandboxRequest: config=1:PodSandboxConfig runtime_handler=2:string
RunPodSandboxResponse: pod_sandbox_id=1:string
StopPodSandboxRequest: pod_sandbox_id=1:string
StopPodSandboxResponse:
RemovePodSandboxRequest: pod_sandbox_id=1:string
RemovePodSandboxResponse:
PodSandboxStatusRequest: pod_sandbox_id=1:string verbose=2:bool
PodIP: ip=1:string
PodSandboxNetworkStatus: ip=1:string additional_ips=2:PodIP*
Namespace: options=2:NamespaceOption
LinuxPodSandboxStatus: namespaces=1:Namespace
PodSandboxStatus: id=1:string metadata=2:PodSandboxMetadata state=3:int created_at=4:int\
 network=5:PodSandboxNetworkStatus linux=6:LinuxPodSandboxStatus labels=7:map annotations=8:map\
 runtime_handler=9:string
PodSandboxStatusResponse: status=1:PodSandboxStatus info=2:map containers_statuses=3:ContainerStatus* timestamp=4:int
PodSandboxStateValue: state=1:int
PodSandboxFilter: id=1:string state=2:PodSandboxStateValue label_selector=3:map
ListPodSandboxRequest: filter=1:PodSandboxFilter
PodSandbox: id=1:string metadata=2:PodSandboxMetadata state=3:int created_at=4:int labels=5:map annotations=6:map\
 runtime_handler=7:string
ListPodSandboxResponse: items=1:PodSandbox*
UpdatePodSandboxResourcesRequest: pod_sandbox_id=1:string overhead=2:LinuxContainerResources\
 resources=3:LinuxContainerResources
UpdatePodSandboxResourcesResponse:
PortForwardRequest: pod_sandbox_id=1:string port=2:int*
PortForwardResponse: url=1:string
"""

_CONTAINERS = """
ImageSpec: image=1:string annotations=2:map user_specified_image=18:string runtime_handler=19:string image_ref=20:string
KeyValue: key=1:string value=2:bytes
Mount: container_path=1:string host_path=2:string readonly=3:bool selinux_relabel=4:bool propagation=5:int\
 uidMappings=6:IDMapping* gidMappings=7:IDMapping* recursive_read_only=8:bool image=9:ImageSpec\
 image_sub_path=10:string
HugepageLimit: page_size=1:string limit=2:uint
LinuxContainerResources: cpu_period=1:int cpu_quota=2:int cpu_shares=3:int memory_limit_in_bytes=4:int\
 oom_score_adj=5:int cpuset_cpus=6:string cpuset_mems=7:string hugepage_limits=8:HugepageLimit* unified=9:map\
 memory_swap_limit_in_bytes=10:int
Capability: add_capabilities=1:string* drop_capabilities=2:string* add_ambient_capabilities=3:string*
LinuxContainerSecurityContext: capabilities=1:Capability privileged=2:bool namespace_options=3:NamespaceOption\
 selinux_options=4:SELinuxOption run_as_user=5:Int64Value run_as_group=12:Int64Value run_as_username=6:string\
 readonly_rootfs=7:bool supplemental_groups=8:int* supplemental_groups_policy=17:int no_new_privs=11:bool\
 masked_paths=13:string* readonly_paths=14:string* seccomp=15:SecurityProfile apparmor=16:SecurityProfile\
 apparmor_profile=9:string seccomp_profile_path=10:string
LinuxContainerConfig: resources=1:LinuxContainerResources security_context=2:LinuxContainerSecurityContext
LinuxContainerUser: uid=1:int gid=2:int supplemental_groups=3:int*
ContainerUser: linux=1:LinuxContainerUser
ContainerMetadata: name=1:string attempt=2:uint
Device: container_path=1:string host_path=2:string permissions=3:string
CDIDevice: name=1:string
ContainerConfig: metadata=1:ContainerMetadata image=2:ImageSpec command=3:string* args=4:string* working_dir=5:string\
 envs=6:KeyValue* mounts=7:Mount* devices=8:Device* labels=9:map annotations=10:map log_path=11:string stdin=12:bool\
 stdin_once=13:bool tty=14:bool linux=15:LinuxContainerConfig CDI_devices=17:CDIDevice* stop_signal=18:int
CreateContainerRequest: pod_sandbox_id=1:string config=2:ContainerConfig sandbox_config=3:PodSandboxConfig
CreateContainerResponse: container_id=1:string
StartContainerRequest: container_id=1:string
StartContainerResponse:
StopContainerRequest: container_id=1:string timeout=2:int
StopContainerResponse:
RemoveContainerRequest: container_id=1:string
RemoveContainerResponse:
ContainerStateValue: state=1:int
ContainerFilter: id=1:string state=2:ContainerStateValue pod_sandbox_id=3:string label_selector=4:map
ListContainersRequest: filter=1:ContainerFilter
Container: id=1:string pod_sandbox_id=2:string metadata=3:ContainerMetadata image=4:ImageSpec image_ref=5:string\
 state=6:int created_at=7:int labels=8:map annotations=9:map image_id=10:string
ListContainersResponse: containers=1:Container*
ContainerStatusRequest: container_id=1:string verbose=2:bool
ContainerResources: linux=1:LinuxContainerResources
ContainerStatus: id=1:string metadata=2:ContainerMetadata state=3:int created_at=4:int started_at=5:int\
 finished_at=6:int exit_code=7:int image=8:ImageSpec image_ref=9:string reason=10:string message=11:string\
 labels=12:map annotations=13:map mounts=14:Mount* log_path=15:string resources=16:ContainerResources\
 image_id=17:string user=18:ContainerUser stop_signal=19:int
ContainerStatusResponse: status=1:ContainerStatus info=2:map
UpdateContainerResourcesRequest: container_id=1:string linux=2:LinuxContainerResources annotations=4:map
UpdateContainerResourcesResponse:
ReopenContainerLogRequest: container_id=1:string
ReopenContainerLogResponse:
ExecSyncRequest: container_id=1:string cmd=2:string* timeout=3:int
ExecSyncResponse: stdout=1:bytes stderr=2:bytes exit_code=3:int
ExecRequest: container_id=1:string cmd=2:string* tty=3:bool stdin=4:bool stdout=5:bool stderr=6:bool
ExecResponse: url=1:string
AttachRequest: container_id=1:string stdin=2:bool tty=3:bool stdout=4:bool stderr=5:bool
AttachResponse: url=1:string
"""

_IMAGES = """
ImageFilter: image=1:ImageSpec
ListImagesRequest: filter=1:ImageFilter
Image: id=1:string repo_tags=2:string* repo_digests=3:string* size=4:uint uid=5:Int64Value username=6:string\
 spec=7:ImageSpec pinned=8:bool
ListImagesResponse: images=1:Image*
ImageStatusRequest: image=1:ImageSpec verbose=2:bool
ImageStatusResponse: image=1:Image info=2:map
AuthConfig: username=1:string password=2:string auth=3:string server_address=4:string identity_token=5:string\
 registry_token=6:string
PullImageRequest: image=1:ImageSpec auth=2:AuthConfig sandbox_config=3:PodSandboxConfig
PullImageResponse: image_ref=1:string
RemoveImageRequest: image=1:ImageSpec
RemoveImageResponse:
ImageFsInfoRequest:
FilesystemIdentifier: mountpoint=1:string
FilesystemUsage: timestamp=1:int fs_id=2:FilesystemIdentifier used_bytes=3:UInt64Value inodes_used=4:UInt64Value
ImageFsInfoResponse: image_filesystems=1:FilesystemUsage* container_filesystems=2:FilesystemUsage*
"""

_RUNTIME = """
VersionRequest: version=1:string
VersionResponse: version=1:string runtime_name=2:string runtime_version=3:string runtime_api_version=4:string
RuntimeCondition: type=1:string status=2:bool reason=3:string message=4:string
RuntimeStatus: conditions=1:RuntimeCondition*
StatusRequest: verbose=1:bool
RuntimeHandlerFeatures: recursive_read_only_mounts=1:bool user_namespaces=2:bool
RuntimeHandler: name=1:string features=2:RuntimeHandlerFeatures
RuntimeFeatures: supplemental_groups_policy=1:bool user_namespaces_host_network=2:bool
StatusResponse: status=1:RuntimeStatus info=2:map runtime_handlers=3:RuntimeHandler* features=4:RuntimeFeatures
NetworkConfig: pod_cidr=1:string
RuntimeConfig: network_config=1:NetworkConfig
UpdateRuntimeConfigRequest: runtime_config=1:RuntimeConfig
UpdateRuntimeConfigResponse:
RuntimeConfigRequest:
LinuxRuntimeConfiguration: cgroup_driver=1:int
RuntimeConfigResponse: linux=1:LinuxRuntimeConfiguration
GetEventsRequest:
ContainerEventResponse: container_id=1:string container_event_type=2:int created_at=3:int\
 pod_sandbox_status=4:PodSandboxStatus containers_statuses=5:ContainerStatus*
"""

_STATS = """
PodSandboxStatsFilter: id=1:string label_selector=2:map
ListPodSandboxStatsRequest: filter=1:PodSandboxStatsFilter
PodSandboxAttributes: id=1:string metadata=2:PodSandboxMetadata labels=3:map annotations=4:map
PodSandboxStats: attributes=1:PodSandboxAttributes linux=2:LinuxPodSandboxStats
LinuxPodSandboxStats: cpu=1:CpuUsage memory=2:MemoryUsage network=3:NetworkUsage process=4:ProcessUsage\
 containers=5:ContainerStats*
ListPodSandboxStatsResponse: stats=1:PodSandboxStats*
NetworkInterfaceUsage: name=1:string rx_bytes=2:UInt64Value rx_errors=3:UInt64Value tx_bytes=4:UInt64Value\
 tx_errors=5:UInt64Value
NetworkUsage: timestamp=1:int default_interface=2:NetworkInterfaceUsage interfaces=3:NetworkInterfaceUsage*
ProcessUsage: timestamp=1:int process_count=2:UInt64Value
ContainerStatsFilter: id=1:string pod_sandbox_id=2:string label_selector=3:map
ListContainerStatsRequest: filter=1:ContainerStatsFilter
ContainerAttributes: id=1:string metadata=2:ContainerMetadata labels=3:map annotations=4:map
PsiData: Total=1:uint Avg10=2:double Avg60=3:double Avg300=4:double
PsiStats: Full=1:PsiData Some=2:PsiData
CpuUsage: timestamp=1:int usage_core_nano_seconds=2:UInt64Value usage_nano_cores=3:UInt64Value psi=4:PsiStats
MemoryUsage: timestamp=1:int working_set_bytes=2:UInt64Value available_bytes=3:UInt64Value usage_bytes=4:UInt64Value\
 rss_bytes=5:UInt64Value page_faults=6:UInt64Value major_page_faults=7:UInt64Value psi=8:PsiStats
SwapUsage: timestamp=1:int swap_available_bytes=2:UInt64Value swap_usage_bytes=3:UInt64Value
ContainerStats: attributes=1:ContainerAttributes cpu=2:CpuUsage memory=3:MemoryUsage writable_layer=4:FilesystemUsage\
 swap=5:SwapUsage
ListContainerStatsResponse: stats=1:ContainerStats*
"""

_CONTAINERD = """
SubscribeRequest: filters=1:string*
Any: type_url=1:string value=2:bytes
Envelope: namespace=2:string topic=3:string event=4:Any
TaskExit: container_id=1:string id=2:string pid=3:uint exit_status=4:uint
"""

MESSAGES = Messages(_SANDBOXES + _CONTAINERS + _IMAGES + _RUNTIME + _STATS + _CONTAINERD)

_PLAIN_SIGNALS = """
SIGABRT SIGALRM SIGBUS SIGCHLD SIGCLD SIGCONT SIGFPE SIGHUP SIGILL SIGINT SIGIO SIGIOT SIGKILL SIGPIPE SIGPOLL SIGPROF
SIGPWR SIGQUIT SIGSEGV SIGSTKFLT SIGSTOP SIGSYS SIGTERM SIGTRAP SIGTSTP SIGTTIN SIGTTOU SIGURG SIGUSR1 SIGUSR2 SIGVTALRM
SIGWINCH SIGXCPU SIGXFSZ SIGRTMIN
"""

SIGNALS = (
    *_PLAIN_SIGNALS.split(),
    *(f"SIGRTMIN+{number}" for number in range(1, 16)),
    *(f"SIGRTMAX-{number}" for number in range(14, 0, -1)),
    "SIGRTMAX",
)
"""Signals as CRI numbers them, from 1, as a pod's spec writes them."""
