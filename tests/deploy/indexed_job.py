"""Plays the Job controller of Kubernetes for one Indexed Job: a process is a pod, and the Job's own rules decide what
happens when it ends. By https://kubernetes.io/docs/concepts/workloads/controllers/job/ of Kubernetes 1.33."""

import signal
import threading
import time
from dataclasses import dataclass, field

# The cluster waits 10 s before an index's first retry, twice as long before each further one, and 6 minutes at most.
# Here a second is a hundredth of that.
SECOND = 0.01
FIRST_BACKOFF, LARGEST_BACKOFF = 10 * SECOND, 360 * SECOND


@dataclass
class Pod:
    """One attempt of one index."""

    index: int
    process: object
    is_disrupted: bool = False
    status: int | None = None
    action: str | None = None


@dataclass
class Index:
    """How far an index has come."""

    failures: int = 0
    not_before: float = 0.0
    ended: str | None = None
    pods: list = field(default_factory=list)


class IndexedJob:
    """A Job by the manifest `spec`. `start(index)` starts a pod's process with JOB_COMPLETION_INDEX."""

    def __init__(self, spec, start):
        if spec["completionMode"] != "Indexed" or spec["template"]["spec"]["restartPolicy"] != "Never":
            raise ValueError("not an Indexed Job whose pods are never restarted in place")
        self.rules = spec["podFailurePolicy"]["rules"]
        self.limit = spec["backoffLimitPerIndex"]
        self.parallelism = spec["parallelism"]
        (self.container,) = (one["name"] for one in spec["template"]["spec"]["containers"])
        self.start = start
        self.indexes = [Index() for _ in range(spec["completions"])]
        self.thread = threading.Thread(target=self._control, daemon=True)
        self.failure = None

    def begin(self):
        self.thread.start()
        return self

    def end(self, seconds=90):
        """Waits for the Job's end and gives its condition."""
        self.thread.join(seconds)
        if self.thread.is_alive():
            self.stop()
            raise TimeoutError(f"the Job did not end: {self.statuses()}")
        if self.failure:
            raise self.failure
        return "Failed" if self.failed() else "Complete"

    def stop(self):
        for pod in self._active():
            pod.process.kill()

    def statuses(self):
        """The exit statuses of each index's pods."""
        return [[pod.status for pod in index.pods] for index in self.indexes]

    def failed(self):
        return [number for number, index in enumerate(self.indexes) if index.ended == "Failed"]

    def pod(self, index):
        """The active pod of an index."""
        (pod,) = (pod for pod in self._active() if pod.index == index)
        return pod

    def drain(self, index):
        """Evicts a pod from its node: the condition first, then the signal."""
        pod = self.pod(index)
        pod.is_disrupted = True
        pod.process.send_signal(signal.SIGTERM)

    def _active(self):
        return [pod for index in self.indexes for pod in index.pods if pod.status is None]

    def _control(self):
        try:
            while any(index.ended is None for index in self.indexes):
                self._reconcile()
                time.sleep(SECOND)
        except Exception as error:
            self.failure = error

    def _reconcile(self):
        for pod in self._active():
            status = pod.process.poll()
            if status is not None:
                self._pod_ended(pod, 128 - status if status < 0 else status)
        for number, index in enumerate(self.indexes):
            # Never a second pod beside one that has not ended: podReplacementPolicy is Failed with a failure policy.
            is_idle = index.ended is None and all(pod.status is not None for pod in index.pods)
            if is_idle and index.not_before <= time.monotonic() and len(self._active()) < self.parallelism:
                index.pods.append(Pod(number, self.start(number)))

    def _pod_ended(self, pod, status):
        index = self.indexes[pod.index]
        pod.status = status
        if status == 0:
            index.ended = "Succeeded"
            return
        pod.action = self._action(pod)
        if pod.action == "FailJob":
            self.stop()
            for other in self.indexes:
                other.ended = other.ended or "Failed"
        elif pod.action == "FailIndex":
            index.ended = "Failed"
        elif pod.action == "Count":
            index.failures += 1
            if index.failures > self.limit:
                index.ended = "Failed"
            backoff = min(FIRST_BACKOFF * 2 ** (index.failures - 1), LARGEST_BACKOFF)
            index.not_before = time.monotonic() + backoff

    def _action(self, pod):
        """That of the first rule that matches the failed pod; without one it counts towards the limit."""
        for rule in self.rules:
            if any(self._has(pod, one) for one in rule.get("onPodConditions", [])):
                return rule["action"]
            codes = rule.get("onExitCodes")
            if codes and codes.get("containerName", self.container) == self.container:
                is_listed = pod.status in codes["values"]
                if is_listed == (codes["operator"] == "In"):
                    return rule["action"]
        return "Count"

    @staticmethod
    def _has(pod, condition):
        holds = condition["type"] == "DisruptionTarget" and pod.is_disrupted
        return holds == (condition.get("status", "True") == "True")
