"""Between the API's amounts and what the kernel counts in. Pure.

Source: k8s.io/kubernetes/pkg/kubelet/cm (helpers_linux.go, cgroup_manager_linux.go), KEP 2254.
"""

from __future__ import annotations

__all__ = [
    "LEAST_QUOTA_MILLI",
    "LEAST_SHARES",
    "MOST_SHARES",
    "PERIOD_MICROSECONDS",
    "milli_of_quota",
    "milli_of_shares",
    "page_name",
    "quota_of",
    "shares_of",
    "shares_of_weight",
    "weight_of",
]

LEAST_SHARES, MOST_SHARES, SHARES_PER_CPU = 2, 262144, 1024
PERIOD_MICROSECONDS = 100_000
LEAST_QUOTA = 1000  # microseconds: the kernel takes no less
LEAST_QUOTA_MILLI = 10  # thousandths of a processor that the least quota comes to


def shares_of(milli: int) -> int:
    """Shares of processor time for a request in thousandths of a processor."""
    return min(MOST_SHARES, max(LEAST_SHARES, milli * SHARES_PER_CPU // 1000))


def milli_of_shares(shares: int) -> int:
    """The request that such shares were made from, rounded up; 0 where there are none."""
    return -(-shares * 1000 // SHARES_PER_CPU) if shares >= LEAST_SHARES else 0


def quota_of(milli: int, period: int = PERIOD_MICROSECONDS) -> int:
    """Microseconds in each period for a limit in thousandths of a processor; 0, which is none, for none."""
    return max(LEAST_QUOTA, milli * period // 1000) if milli else 0


def milli_of_quota(quota: int, period: int) -> int:
    """The limit that such a quota comes to; 0 where there is none."""
    return quota * 1000 // period if quota > 0 and period > 0 else 0


def weight_of(shares: int) -> int:
    """The weight in cgroup v2 (1 to 10000) of shares in v1 (2 to 262144)."""
    if shares >= MOST_SHARES:
        return 10000
    return 1 + (max(shares, LEAST_SHARES) - 2) * 9999 // 262142


def shares_of_weight(weight: int) -> int:
    """Shares that have this weight; not those that it was made from, for there are fewer weights than shares."""
    return (weight - 1) * 262142 // 9999 + 2


def page_name(size: int) -> str:
    """How files of the kernel name a size of huge pages in bytes: 2MB, 1GB."""
    for unit in ("B", "KB", "MB", "GB", "TB"):
        if size < 1024 or unit == "TB":
            return f"{size}{unit}"
        size //= 1024
    raise AssertionError("unreachable")
