"""A scrapyd node that notifies systemd when it is ready and alive (sd_notify(3)), and that ends after its jobs.
`start` runs it with systemd's socket and the watchdog's microseconds, in the Python of the node, where vinops is not:
what vinops has for this cannot be used.
"""

from __future__ import annotations

import socket
import sys

from scrapyd import launcher
from scrapyd.__main__ import main
from twisted.internet import reactor
from twisted.internet.defer import DeferredList
from twisted.internet.task import LoopingCall


def tell(address: str, message: str) -> None:
    """Send a message; if it cannot be sent, the node continues."""
    target = "\0" + address[1:] if address.startswith("@") else address
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
            line.setblocking(False)
            line.sendto(message.encode(), target)
    except OSError:
        return


class Job(launcher.ScrapyProcessProtocol):
    """Logs the output of a job as text. scrapyd uses it as a format string, and logs "Unable to format event" for a
    line with a brace."""

    def outReceived(self, data: bytes) -> None:  # noqa: N802 # as Twisted calls it
        """Log its standard output."""
        self._say("stdout", data)

    def errReceived(self, data: bytes) -> None:  # noqa: N802 # as Twisted calls it
        """Log its standard error: every line of its log, not errors alone."""
        self._say("stderr", data)

    def _say(self, stream: str, data: bytes) -> None:
        text = data.decode(errors="replace").rstrip()
        launcher.log.info("{text}", text=text, log_system=f"Launcher,{self.pid}/{stream}")


class Launcher(launcher.Launcher):
    """Waits for its jobs when it is stopped. systemd sends SIGTERM to them together with the node, and again to what is
    left when the node has ended: on a second SIGTERM Scrapy stops at once, and leases are not released.
    """

    def stopService(self) -> DeferredList:  # noqa: N802 # as Twisted calls it
        """Return a deferred that fires when the last job has ended."""
        super().stopService()
        return DeferredList([process.deferred for process in self.processes.values()])


def serve_systemd(address: str, seconds: float) -> None:
    """Notify systemd when the port is open, and feed the watchdog (its interval in seconds, 0 for none) from the loop
    that answers requests and starts jobs."""
    launcher.Launcher = Launcher  # the default unless scrapyd's configuration names another
    reactor.callWhenRunning(tell, address, "READY=1")
    reactor.addSystemEventTrigger("before", "shutdown", tell, address, "STOPPING=1")
    if seconds:
        reactor.callWhenRunning(LoopingCall(tell, address, "WATCHDOG=1").start, seconds / 3)


if __name__ == "__main__":
    notify_socket, watchdog_usec = sys.argv[1:3]
    del sys.argv[1:3]  # the rest is for scrapyd
    launcher.ScrapyProcessProtocol = Job
    if notify_socket:
        serve_systemd(notify_socket, int(watchdog_usec) / 1e6)
    main()
