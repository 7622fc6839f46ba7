package ipsec

import (
	"errors"
	"testing"
)

func TestObstacles(t *testing.T) {
	words := map[string]bool{}
	for o := NoObstacle; o <= ObstacleProhibited; o++ {
		if words[o.String()] || o.String() == "" {
			t.Errorf("obstacle %d is %q", o, o)
		}
		words[o.String()] = true
		if certain := o <= ObstacleForbidden; o.Certain() != certain {
			t.Errorf("%v: certain is %t", o, o.Certain())
		}
	}
	cause := errors.New("the cause")
	var told *SendError
	if err := error(&SendError{ObstacleRoute, cause}); err.Error() != "the cause" || !errors.Is(err, cause) || !errors.As(err, &told) {
		t.Errorf("%v", err)
	}
}
