package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
	"gopkg.in/yaml.v3"
)

// configFile resolves flags from a YAML file. A key is the name of a flag, for
// every command that has it, or the name of a command, with that command's
// flags under it; the nearer one wins. The environment wins over the file.
type configFile struct {
	name string
	root configSection
}

type configSection map[string]yaml.Node

// loadConfig reads the file of --config.
func loadConfig(r io.Reader) (kong.Resolver, error) {
	c := &configFile{name: "the configuration"}
	if f, ok := r.(*os.File); ok {
		c.name = f.Name()
	}
	decoder := yaml.NewDecoder(r)
	err := decoder.Decode(&c.root)
	if err != nil && !errors.Is(err, io.EOF) { // an empty file is an empty configuration
		return nil, fmt.Errorf("%s is not valid YAML of keys and values: %w", c.name, err)
	}
	if err == nil && !errors.Is(decoder.Decode(new(yaml.Node)), io.EOF) {
		return nil, fmt.Errorf("%s has more than one YAML document: a line --- begins another one, which would be ignored", c.name)
	}
	return c, nil
}

// BeforeResolve loads the file that --config or its variable names.
func (c *cli) BeforeResolve(k *kong.Kong, ctx *kong.Context) error {
	i := slices.IndexFunc(ctx.Model.Flags, func(f *kong.Flag) bool { return f.Name == "config" })
	path, _ := ctx.FlagValue(ctx.Model.Flags[i]).(string)
	if path == "" {
		return nil
	}
	resolver, err := k.LoadConfig(path)
	if err != nil {
		return fmt.Errorf("--config: %w", err)
	}
	ctx.AddResolver(resolver)
	return nil
}

// Resolve returns what the file says about a flag of the command that is run.
func (c *configFile) Resolve(_ *kong.Context, parent *kong.Path, flag *kong.Flag) (any, error) {
	for _, name := range flag.Envs {
		if _, ok := os.LookupEnv(name); ok {
			return nil, nil
		}
	}
	var commands []string
	for n := parent.Node(); n != nil && n.Type == kong.CommandNode; n = n.Parent {
		commands = append(commands, n.Name)
	}
	var value any
	section, path := c.root, ""
	for i := len(commands); ; i-- {
		if node, ok := section[flag.Name]; ok && node.Kind != yaml.MappingNode && !absent(&node) {
			text, err := flagText(node)
			if err != nil {
				return nil, fmt.Errorf("%s, line %d: %w", c.name, node.Line, err)
			}
			if err := fits(flag, text); err != nil {
				return nil, fmt.Errorf("%s, line %d, key %s: %w", c.name, node.Line, path+flag.Name, err)
			}
			value = text
		}
		if i == 0 {
			return value, nil
		}
		path += commands[i-1] + "."
		next, err := section.child(commands[i-1])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.name, err)
		}
		section = next
	}
}

// fits fails where a flag does not take the text.
func fits(flag *kong.Flag, text string) error {
	if flag.Enum != "" && !slices.Contains(flag.EnumSlice(), text) {
		return fmt.Errorf("%q is none of %s", text, flag.Enum)
	}
	scan := kong.Scan().PushTyped(text, kong.FlagValueToken)
	return flag.Mapper.Decode(&kong.DecodeContext{Value: flag.Value, Scan: scan}, reflect.New(flag.Target.Type()).Elem())
}

func (s configSection) child(command string) (configSection, error) {
	node, ok := s[command]
	if !ok || node.Kind != yaml.MappingNode {
		return nil, nil
	}
	var child configSection
	err := node.Decode(&child)
	return child, err
}

// flagText returns a value as it would be typed: exactly the digits of the
// file, and a list with commas.
func flagText(node yaml.Node) (string, error) {
	switch node.Kind {
	case yaml.ScalarNode:
		return node.Value, nil
	case yaml.SequenceNode:
		items := make([]string, len(node.Content))
		for i, item := range node.Content {
			if item.Kind != yaml.ScalarNode {
				return "", errors.New("a list may hold plain values only")
			}
			items[i] = item.Value
		}
		return strings.Join(items, ","), nil
	}
	return "", errors.New("write a plain value or a list")
}

// Validate refuses keys that no command knows: a misspelt key must not be ignored.
func (c *configFile) Validate(app *kong.Application) error {
	return c.validate(c.root, app.Node)
}

func (c *configFile) validate(section configSection, command *kong.Node) error {
	for key, node := range section {
		i := slices.IndexFunc(command.Children, func(n *kong.Node) bool { return n.Name == key })
		switch {
		case node.Kind == yaml.MappingNode:
		case absent(&node) && i >= 0: // a section in which all is commented out
			continue
		case slices.Contains(notInFile, key):
			return fmt.Errorf("%s, line %d: --%s is for the command line only", c.name, node.Line, key)
		case !hasFlag(command, key):
			return fmt.Errorf("%s, line %d: there is no flag --%s", c.name, node.Line, key)
		case absent(&node):
			return fmt.Errorf("%s, line %d, key %s: it has no value; remove the line or write one", c.name, node.Line, key)
		default:
			continue
		}
		if i < 0 {
			return fmt.Errorf("%s, line %d: there is no command %q", c.name, node.Line, key)
		}
		child, err := section.child(key)
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		if err := c.validate(child, command.Children[i]); err != nil {
			return err
		}
	}
	return nil
}

// notInFile are the flags that mean nothing in a file.
var notInFile = []string{"config", "help", "version"}

// absent reports whether a key has no value.
func absent(node *yaml.Node) bool { return node.Kind == yaml.ScalarNode && node.Tag == "!!null" }

// hasFlag reports whether the command or one below it has the flag.
func hasFlag(command *kong.Node, name string) bool {
	return slices.ContainsFunc(command.Flags, func(f *kong.Flag) bool { return f.Name == name }) ||
		slices.ContainsFunc(command.Children, func(n *kong.Node) bool { return hasFlag(n, name) })
}
