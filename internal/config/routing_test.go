package config

import "testing"

func TestBadRouting(t *testing.T) {
	testBad(t, map[string]bad{
		"routes":              {withChild(`routes = "some"`), []string{`a.toml:10: peer "right": child "child1": routes = "some" is not valid; use one of auto, none`}},
		"number of routes":    {withChild(`routes = 1`), []string{`a.toml:10: peer "right": child "child1": routes must be text in quotes or a list of text`}},
		"empty routes":        {withChild(`routes = []`), []string{`a.toml:10: peer "right": child "child1": routes is empty; use routes = "none" to route nothing`}},
		"routes outside":      {withChild("routes = [\n\"10.2.1.0/24\",\n\"10.0.0.0/8\"]"), []string{`a.toml:12: peer "right": child "child1": routes: 10.0.0.0/8 is not within a remote network of this child, so its SA cannot carry it; add it to remote, or remove it here`}},
		"routes and bypass":   {withChild("routes = [\"10.2.1.0/24\"]\nbypass = [\"10.2.1.0/24\"]"), []string{`a.toml:10: peer "right": child "child1": routes: 10.2.1.0/24 is also listed in bypass; remove it from one of them`}},
		"bypass of no routes": {withChild("routes = \"none\"\nbypass = [\"10.2.1.0/24\"]"), []string{`a.toml:11: peer "right": child "child1": bypass has no effect with routes = "none"`}},
	})
}
