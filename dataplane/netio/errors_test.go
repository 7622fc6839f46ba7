package netio

import (
	"errors"
	"fmt"
	"testing"

	"culvert/internal/ipsec"

	"golang.org/x/sys/unix"
)

// Only errors by which this host refuses a path are obstacles. A full queue is none.
func TestObstacle(t *testing.T) {
	for e, want := range map[unix.Errno]ipsec.Obstacle{
		unix.ENETUNREACH: ipsec.ObstacleRoute, unix.EHOSTUNREACH: ipsec.ObstacleRoute, unix.ENETDOWN: ipsec.ObstacleRoute,
		unix.EINVAL: ipsec.ObstacleRoute, unix.EADDRNOTAVAIL: ipsec.ObstacleRoute, unix.EPERM: ipsec.ObstacleFirewall,
		unix.EACCES: ipsec.ObstacleForbidden, unix.EAGAIN: ipsec.NoObstacle, unix.EMSGSIZE: ipsec.NoObstacle,
		unix.ENOBUFS: ipsec.NoObstacle, unix.EIO: ipsec.NoObstacle,
	} {
		err := sendError(e)
		if got := Obstacle(err); got != want {
			t.Errorf("%v: %v, want %v", err, got, want)
		}
		if got := Obstacle(fmt.Errorf("sending: %w", err)); got != want {
			t.Errorf("%v, wrapped: %v, want %v", err, got, want)
		}
		if n := testing.AllocsPerRun(10, func() { Obstacle(err) }); n != 0 {
			t.Errorf("%v: %v allocations", err, n)
		}
	}
	if got := Obstacle(nil); got != ipsec.NoObstacle {
		t.Errorf("no error: %v", got)
	}
	if got := Obstacle(errors.New("another")); got != ipsec.NoObstacle {
		t.Errorf("another error: %v", got)
	}
}
