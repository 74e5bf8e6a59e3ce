// Command rbcs is the balance service and everything that belongs to it: the
// server, its migrations and its audit, mock data, imports, load, and a
// person's view of accounts and transactions. One file per command.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"reflect"
	"regexp"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"rbcs"
)

func main() {
	// The first signal ends the command cleanly, a later one at once.
	ctx, restore := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, func() { time.AfterFunc(oneSignal, restore) })
	m := Main{Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr}
	os.Exit(m.Run(ctx, os.Args[1:]))
}

// oneSignal is how long signals count as one: timeout(1) and what passes signals
// on to a group send each of them twice.
const oneSignal = 500 * time.Millisecond

// Main is the program without its process, so that tests can start it.
type Main struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
}

// cli is the command line: one field, and one file, per command.
type cli struct {
	Config  string           `help:"Read flags from this YAML file: a key per flag (store: …), or per command and flag (serve: {store: …}). The command line and the environment win." placeholder:"FILE"`
	Version kong.VersionFlag `env:"-" help:"Print the version and exit."`

	Demo    DemoCmd    `cmd:"" help:"See it work, on an empty machine, in a minute."`
	Serve   ServeCmd   `cmd:"" help:"Run the balance service."`
	Gateway GatewayCmd `cmd:"" help:"Run a gateway before several instances of the service."`
	Migrate MigrateCmd `cmd:"" help:"Bring the schema of a store up to date."`
	Verify  VerifyCmd  `cmd:"" help:"Audit a store: replay every account and compare."`

	Mock   MockCmd   `cmd:"" help:"Make mock data: accounts, transactions and the balances they must lead to."`
	Import ImportCmd `cmd:"" help:"Import files of accounts and transactions."`
	Bench  BenchCmd  `cmd:"" help:"Put load on a service, measure it, and check every balance."`

	Account  AccountCmd  `cmd:"" help:"Create, show and change accounts."`
	Balances BalancesCmd `cmd:"" help:"Sum the accounts under a prefix, by currency."`
	Tx       TxCmd       `cmd:"" help:"Submit, settle, reverse and show transactions."`
	Events   EventsCmd   `cmd:"" help:"Follow the log as it is committed."`
	Webhook  WebhookCmd  `cmd:"" help:"Register webhooks, and look after them."`
	Intake   IntakeCmd   `cmd:"" help:"Look after the queue of what is decided later, and its dead letters."`
}

// Exit codes.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

const description = `Real-time balance calculation: exact money, exactly once.

Start here:

  rbcs demo     see it work, on an empty machine, in a minute
  rbcs serve    run the service

Every flag is also an environment variable, and a key of --config FILE.
Exit codes: 0 done, 1 failed, 2 wrong usage.`

// usageError is an error of the person who typed the command.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// usagef returns an error that ends the program with exit code 2.
func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// Run runs one command line, without the program's name, and returns the exit
// code. A command ends early, and cleanly, when ctx does.
func (m *Main) Run(ctx context.Context, args []string) (code int) {
	out := &checkedWriter{Writer: m.Stdout}
	m = &Main{Stdin: m.Stdin, Stdout: out, Stderr: m.Stderr}
	type exit int // --help and --version end the parsing with a panic, since kong goes on otherwise
	defer func() {
		switch e := recover().(type) {
		case nil:
		case exit:
			code = int(e)
		default:
			panic(e)
		}
	}()
	var c cli
	parser, err := kong.New(&c,
		kong.Name("rbcs"),
		kong.Description(description),
		kong.Writers(m.Stdout, m.Stderr),
		kong.Exit(func(code int) { panic(exit(code)) }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true, WrapUpperBound: helpWidth}),
		kong.DefaultEnvars("RBCS"),
		kong.Configuration(loadConfig),
		kong.Vars{"version": "rbcs " + buildVersion() + " " + runtime.Version()},
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(m),
	)
	if err != nil {
		panic(err) // a mistake in the tags of cli: no command line works
	}
	m.warnOfVariables(parser.Model.Node)
	command, err := parser.Parse(args)
	if err != nil {
		m.explain(parser, err)
		return exitUsage
	}
	if err := cmp.Or(command.Run(), out.fault()); err != nil {
		m.fail(err)
		if _, ok := errors.AsType[usageError](err); ok {
			return exitUsage
		}
		return exitFailed
	}
	return exitDone
}

// AfterApply refuses an argument that is empty, and such an --id: mostly a
// variable of a script that was not set. Taken as one that is not there it would
// capture all of a hold, or be a new ID that moves the money again.
func (c *cli) AfterApply(ctx *kong.Context) error {
	empty := func(v *kong.Value) bool {
		value := ctx.Value(&kong.Path{Positional: v})
		return value.IsValid() && value.Kind() == reflect.String && value.Len() == 0
	}
	for _, p := range ctx.Path {
		switch {
		case p.Resolved:
		case p.Positional != nil && empty(p.Positional):
			return fmt.Errorf("the argument <%s> is empty", p.Positional.Name)
		case p.Flag != nil && p.Flag.Name == "id" && empty(p.Flag.Value):
			return errors.New("--id is empty; leave it out for a new one")
		}
	}
	return nil
}

// negative is an argument that begins like a number below zero, which kong takes for flags.
var negative = regexp.MustCompile(`^unknown flag -[0-9.]`)

// explain says what is wrong with a command line. One that ends before its
// command is a question.
func (m *Main) explain(parser *kong.Kong, err error) {
	message := err.Error()
	if e, ok := errors.AsType[*kong.ParseError](err); ok && strings.HasPrefix(message, "expected one of ") {
		parser.Stdout = m.Stderr // nothing was done
		if e.Context.PrintUsage(false) == nil {
			return
		}
	}
	if strings.HasPrefix(helpFor(err), "tx ") && negative.MatchString(message) {
		message = "an amount has no sign: the source pays, the destination receives"
	}
	message = strings.Replace(message, `,"" but got `, ` but got `, 1) // "" stands for a flag that is not given
	m.fail(fmt.Errorf("%s (rbcs %s)", message, helpFor(err)))
}

// helpWidth keeps help readable on wide terminals, and the same wherever it is written.
const helpWidth = 100

// fail prints the one line that says what went wrong.
func (m *Main) fail(err error) {
	message := err.Error()
	if errors.Is(err, context.Canceled) && rbcs.CodeOf(err) != rbcs.OutcomeUnknown {
		message = "interrupted"
	}
	fmt.Fprintln(m.Stderr, "rbcs:", redact(codeOnce(oneLine(message), rbcs.CodeOf(err))))
}

// oneLine joins the lines of a message, each once: some libraries try several
// addresses and say the same of all of them.
func oneLine(message string) string {
	var lines []string
	for line := range strings.Lines(message) {
		if line = strings.TrimSpace(line); line != "" && !slices.Contains(lines, line) {
			lines = append(lines, line)
		}
	}
	return strings.ReplaceAll(strings.Join(lines, "; "), ":; ", ": ")
}

// codeOnce leaves the first of several equal codes: an error of one layer that
// has that of another as its cause says the same of both.
func codeOnce(message string, code rbcs.Code) string {
	prefix := string(code) + ": "
	before, after, found := strings.Cut(message, prefix)
	if code == "" || !found {
		return message
	}
	return before + prefix + strings.ReplaceAll(after, prefix, "")
}

// helpFor returns the arguments that explain the command of a parse error.
func helpFor(err error) string {
	words := []string{}
	if e, ok := errors.AsType[*kong.ParseError](err); ok && e.Context != nil {
		for _, p := range e.Context.Path {
			if p.Command != nil {
				words = append(words, p.Command.Name)
			}
		}
	}
	return strings.Join(append(words, "--help"), " ")
}

// version is set by the linker: -X main.version=v1.2.3.
var version string

// buildVersion returns what the binary was built from.
func buildVersion() string {
	info, ok := debug.ReadBuildInfo()
	if version != "" || !ok {
		return cmp.Or(version, "unknown")
	}
	built := info.Main.Version
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && !strings.Contains(built, s.Value[:min(12, len(s.Value))]) {
			built += " " + s.Value
		}
	}
	return built
}
