"""etcd's interface, version 3: its messages and its methods.

A key in a range stands for itself alone, or with `range_end` for all from it up to that; NUL as the end is none.
Source: go.etcd.io/etcd/api/v3/etcdserverpb/rpc.proto, mvccpb/kv.proto, authpb/auth.proto.
"""

from __future__ import annotations

from hyperkube_machinery.grpc.messages import Messages

__all__ = ["ALARMS", "COMPARE", "DELETED", "ETCD", "TARGET", "prefix_end"]

_KV = """
KeyValue: key=1:bytes create_revision=2:int mod_revision=3:int version=4:int value=5:bytes lease=6:int
Event: type=1:int kv=2:KeyValue prev_kv=3:KeyValue
ResponseHeader: cluster_id=1:uint member_id=2:uint revision=3:int raft_term=4:uint
RangeRequest: key=1:bytes range_end=2:bytes limit=3:int revision=4:int sort_order=5:int sort_target=6:int\
 serializable=7:bool keys_only=8:bool count_only=9:bool min_mod_revision=10:int max_mod_revision=11:int\
 min_create_revision=12:int max_create_revision=13:int
RangeResponse: header=1:ResponseHeader kvs=2:KeyValue* more=3:bool count=4:int
PutRequest: key=1:bytes value=2:bytes lease=3:int prev_kv=4:bool ignore_value=5:bool ignore_lease=6:bool
PutResponse: header=1:ResponseHeader prev_kv=2:KeyValue
DeleteRangeRequest: key=1:bytes range_end=2:bytes prev_kv=3:bool
DeleteRangeResponse: header=1:ResponseHeader deleted=2:int prev_kvs=3:KeyValue*
RequestOp: request_range=1:RangeRequest request_put=2:PutRequest request_delete_range=3:DeleteRangeRequest\
 request_txn=4:TxnRequest
ResponseOp: response_range=1:RangeResponse response_put=2:PutResponse response_delete_range=3:DeleteRangeResponse\
 response_txn=4:TxnResponse
Compare: result=1:int target=2:int key=3:bytes version=4:int create_revision=5:int mod_revision=6:int value=7:bytes\
 lease=8:int range_end=64:bytes
TxnRequest: compare=1:Compare* success=2:RequestOp* failure=3:RequestOp*
TxnResponse: header=1:ResponseHeader succeeded=2:bool responses=3:ResponseOp*
CompactionRequest: revision=1:int physical=2:bool
CompactionResponse: header=1:ResponseHeader
"""

_WATCH = """
WatchRequest: create_request=1:WatchCreateRequest cancel_request=2:WatchCancelRequest\
 progress_request=3:WatchProgressRequest
WatchCreateRequest: key=1:bytes range_end=2:bytes start_revision=3:int progress_notify=4:bool filters=5:int*\
 prev_kv=6:bool watch_id=7:int fragment=8:bool
WatchCancelRequest: watch_id=1:int
WatchProgressRequest:
WatchResponse: header=1:ResponseHeader watch_id=2:int created=3:bool canceled=4:bool compact_revision=5:int\
 cancel_reason=6:string fragment=7:bool events=11:Event*
"""

_LEASE = """
LeaseGrantRequest: TTL=1:int ID=2:int
LeaseGrantResponse: header=1:ResponseHeader ID=2:int TTL=3:int error=4:string
LeaseRevokeRequest: ID=1:int
LeaseRevokeResponse: header=1:ResponseHeader
LeaseKeepAliveRequest: ID=1:int
LeaseKeepAliveResponse: header=1:ResponseHeader ID=2:int TTL=3:int
LeaseTimeToLiveRequest: ID=1:int keys=2:bool
LeaseTimeToLiveResponse: header=1:ResponseHeader ID=2:int TTL=3:int grantedTTL=4:int keys=5:bytes*
LeaseLeasesRequest:
LeaseStatus: ID=1:int
LeaseLeasesResponse: header=1:ResponseHeader leases=2:LeaseStatus*
"""

_MAINTENANCE = """
AlarmRequest: action=1:int memberID=2:uint alarm=3:int
AlarmMember: memberID=1:uint alarm=2:int
AlarmResponse: header=1:ResponseHeader alarms=2:AlarmMember*
StatusRequest:
StatusResponse: header=1:ResponseHeader version=2:string dbSize=3:int leader=4:uint raftIndex=5:uint raftTerm=6:uint\
 raftAppliedIndex=7:uint errors=8:string* dbSizeInUse=9:int isLearner=10:bool storageVersion=11:string\
 dbSizeQuota=12:int
DefragmentRequest:
DefragmentResponse: header=1:ResponseHeader
HashRequest:
HashResponse: header=1:ResponseHeader hash=2:uint
HashKVRequest: revision=1:int
HashKVResponse: header=1:ResponseHeader hash=2:uint compact_revision=3:int hash_revision=4:int
SnapshotRequest:
SnapshotResponse: header=1:ResponseHeader remaining_bytes=2:uint blob=3:bytes version=4:string
MoveLeaderRequest: targetID=1:uint
DowngradeRequest: action=1:int version=2:string
"""

_CLUSTER = """
Member: ID=1:uint name=2:string peerURLs=3:string* clientURLs=4:string* isLearner=5:bool
MemberListRequest: linearizable=1:bool
MemberListResponse: header=1:ResponseHeader members=2:Member*
"""

_AUTH = """
AuthStatusRequest:
AuthStatusResponse: header=1:ResponseHeader enabled=2:bool authRevision=3:uint
AuthenticateRequest: name=1:string password=2:string
AuthUserListRequest:
AuthUserListResponse: header=1:ResponseHeader users=2:string*
AuthRoleListRequest:
AuthRoleListResponse: header=1:ResponseHeader roles=2:string*
"""

ETCD = Messages(_KV + _WATCH + _LEASE + _MAINTENANCE + _CLUSTER + _AUTH)

DELETED = 1
"""The type of an event; a put's is 0."""

COMPARE = {"EQUAL": 0, "GREATER": 1, "LESS": 2, "NOT_EQUAL": 3}
TARGET = {"VERSION": 0, "CREATE": 1, "MOD": 2, "VALUE": 3, "LEASE": 4}
ALARMS = {"NONE": 0, "NOSPACE": 1, "CORRUPT": 2}


def prefix_end(prefix: bytes) -> bytes:
    """The end of the range of all that begins with `prefix`; NUL, which is none, for what has no end."""
    kept = prefix.rstrip(b"\xff")
    return kept[:-1] + bytes([kept[-1] + 1]) if kept else b"\0"
