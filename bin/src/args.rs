//! What was typed, as text: which command, which flags. The help texts are here; what the values mean is in `config`.

use std::ffi::OsString;

use argh::{ArgsInfo, EarlyExit, FlagInfo, FlagInfoKind, FromArgs};

use crate::exit::{Failure, Reason};

const COMMAND_MISSING: &str = "the command is missing: 'ringway serve' runs the proxy, 'ringway check' tries the \
                               kernel";

/// What the command line asks for.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "there is one in the life of the program"
)]
pub(crate) enum Command {
    /// Only this text: help or version.
    Print(String),
    /// Run the proxy.
    Serve(Serve),
    /// Print the capability table.
    Check(Check),
}

/// a forward proxy on io_uring for dedicated hosts: CONNECT tunnels, one pinned worker per CPU
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(
    help_triggers("-h", "--help", "help"),
    usage = "<command> [<flags>]",
    example = "{command_name} serve\n{command_name} serve --help\n{command_name} check",
    error_code(1, "it failed while running"),
    error_code(2, "what was typed cannot be right"),
    error_code(3, "this kernel or sandbox cannot; the message says what mends it"),
    error_code(4, "an address is in use or not permitted")
)]
struct TopLevel {
    /// print the version
    #[argh(switch)]
    version: bool,

    #[argh(subcommand)]
    command: Option<Subcommand>,
}

#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(subcommand)]
#[expect(
    clippy::large_enum_variant,
    reason = "there is one in the life of the program"
)]
enum Subcommand {
    Serve(Serve),
    Check(Check),
}

/// run the proxy until SIGTERM or SIGINT, which lets open tunnels finish
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(
    subcommand,
    name = "serve",
    help_triggers("-h", "--help", "help"),
    usage = "[--listen ADDR]... [--cores LIST|all] [--max-connections N]\n    \
             [--connect-timeout D] [--head-timeout D] [--idle-timeout D]\n    \
             [--half-close-timeout D] [--keep-alive-timeout D]\n    \
             [--websocket-idle-timeout D] [--drain-timeout D]\n    \
             [--websocket-inspect] [--forwarded off|forwarded|x-forwarded-for]\n    \
             [--zero-copy auto|splice|send-zc|off] [--congestion-control NAME]\n    \
             [--buffers N] [--buffer-size BYTES] [--ring-entries N]\n    \
             [--busy-poll off|auto|D] [--resolver ADDR] [--open-proxy] [--log LEVEL]",
    example = "{command_name}\n\
               {command_name} --listen 127.0.0.1:8080 --listen '[::1]:8080'\n\
               {command_name} --cores 2-5 --busy-poll auto\n\
               curl -x http://127.0.0.1:3128 https://example.org/",
    note = "D is an integer with its unit: 20us, 250ms, 10s, 5m, 1h.\n\
            SIGTERM or SIGINT drains, a second one ends at once. SIGUSR1 logs the counters\n\
            of every worker. The log goes to standard error.\n\
            RINGWAY_FORCE_OFF=FEATURE[,FEATURE] in the environment treats features of the\n\
            kernel as missing; 'ringway check' prints their names.",
    error_code(0, "drained"),
    error_code(1, "it failed while running"),
    error_code(2, "what was typed cannot be right"),
    error_code(3, "this kernel or sandbox cannot; the message says what mends it"),
    error_code(4, "an address is in use or not permitted")
)]
pub(crate) struct Serve {
    #[argh(
        option,
        arg_name = "ADDR",
        description = "address to listen on, IP:PORT or [IPv6]:PORT; may repeat; port 0 lets the \
                       kernel choose [default: 127.0.0.1:3128]"
    )]
    pub(crate) listen: Vec<String>,

    /// CPUs to run one worker on each: 0, 0,2, 2-5 or all those this process may use [default: all]
    #[argh(option, arg_name = "LIST|all")]
    pub(crate) cores: Option<String>,

    /// most client connections at once, over all workers [default: what the limit of open files allows]
    #[argh(option, arg_name = "N")]
    pub(crate) max_connections: Option<String>,

    /// longest time to look up a target and connect to it [default: 10s]
    #[argh(option, arg_name = "D")]
    pub(crate) connect_timeout: Option<String>,

    /// longest time for a client to send its request head [default: 10s]
    #[argh(option, arg_name = "D")]
    pub(crate) head_timeout: Option<String>,

    /// end a tunnel after this long without a byte [default: 10m]
    #[argh(option, arg_name = "D")]
    pub(crate) idle_timeout: Option<String>,

    /// end a tunnel that one side has closed after this long without a byte from the other [default: 30s]
    #[argh(option, arg_name = "D")]
    pub(crate) half_close_timeout: Option<String>,

    /// close a client's connection after this long without another request [default: 75s]
    #[argh(option, arg_name = "D")]
    pub(crate) keep_alive_timeout: Option<String>,

    /// end a WebSocket after this long without a byte [default: 1h]
    #[argh(option, arg_name = "D")]
    pub(crate) websocket_idle_timeout: Option<String>,

    /// look at the frames of WebSockets outside of tunnels: end those that break the rules, ping quiet ones, count
    /// [default: pass bytes]
    #[argh(switch)]
    pub(crate) websocket_inspect: bool,

    /// longest time that open tunnels have to finish once the proxy is told to end [default: 30s]
    #[argh(option, arg_name = "D")]
    pub(crate) drain_timeout: Option<String>,

    /// tell origins the client's address, in Forwarded or in X-Forwarded-For [default: off]
    #[argh(option, arg_name = "off|forwarded|x-forwarded-for")]
    pub(crate) forwarded: Option<String>,

    /// how bulk bytes move: auto, splice, send-zc, or off to copy them all [default: auto]
    #[argh(option, arg_name = "auto|splice|send-zc|off")]
    pub(crate) zero_copy: Option<String>,

    /// TCP congestion control of every connection, such as bbr or cubic [default: the kernel's, but reno over
    /// loopback if that is bbr]
    #[argh(option, arg_name = "NAME")]
    pub(crate) congestion_control: Option<String>,

    /// receive buffers of each worker, a power of two up to 32768 [default: 256]
    #[argh(option, arg_name = "N")]
    pub(crate) buffers: Option<String>,

    /// bytes of one receive buffer, 512 to 1m [default: 16k]
    #[argh(option, arg_name = "BYTES")]
    pub(crate) buffer_size: Option<String>,

    /// completion queue entries of each worker, a power of two from 8 to 65536 [default: 16384]
    #[argh(option, arg_name = "N")]
    pub(crate) ring_entries: Option<String>,

    /// look at the ring before sleeping: off, auto (for as long as it pays), or for a duration up to 10ms
    /// [default: off]
    #[argh(option, arg_name = "off|auto|D")]
    pub(crate) busy_poll: Option<String>,

    /// name server to ask, IP or IP:PORT [default: those of /etc/resolv.conf]
    #[argh(option, arg_name = "ADDR")]
    pub(crate) resolver: Option<String>,

    /// listen beyond loopback although anyone who reaches the port may use the proxy [default: refuse to]
    #[argh(switch)]
    pub(crate) open_proxy: bool,

    /// least urgent event to log: error, warn, info, debug or trace [default: info]
    #[argh(option, arg_name = "LEVEL")]
    pub(crate) log: Option<String>,
}

/// print which features of this kernel the proxy uses, and what would keep it from starting
#[derive(FromArgs, ArgsInfo, Debug)]
#[argh(
    subcommand,
    name = "check",
    help_triggers("-h", "--help", "help"),
    example = "{command_name}\n{command_name} --json",
    error_code(0, "'ringway serve' can start here"),
    error_code(2, "what was typed cannot be right"),
    error_code(3, "it cannot; the message says what mends it")
)]
pub(crate) struct Check {
    /// print JSON instead of a table [default: a table]
    #[argh(switch)]
    pub(crate) json: bool,
}

/// Reads the command line, the program's own name first.
pub(crate) fn parse(words: impl Iterator<Item = OsString>) -> Result<Command, Failure> {
    let words: Vec<String> = words.skip(1).map(text).collect::<Result<_, _>>()?;
    let level = Level::of(&words);
    let words = split_values(words, &level)?;
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match TopLevel::from_args(&["ringway"], &words) {
        Ok(TopLevel { version: true, .. }) => Ok(Command::Print(format!(
            "ringway {}\n",
            env!("CARGO_PKG_VERSION")
        ))),
        Ok(TopLevel {
            command: Some(Subcommand::Serve(typed)),
            ..
        }) => Ok(Command::Serve(typed)),
        Ok(TopLevel {
            command: Some(Subcommand::Check(typed)),
            ..
        }) => Ok(Command::Check(typed)),
        Ok(TopLevel { command: None, .. }) => Err(level.failure(COMMAND_MISSING)),
        Err(EarlyExit {
            output,
            status: Ok(()),
        }) => Ok(Command::Print(output)),
        Err(EarlyExit {
            output,
            status: Err(()),
        }) => Err(level.failure(&level.explain(output.trim_end()))),
    }
}

fn text(word: OsString) -> Result<String, Failure> {
    word.into_string().map_err(|word| {
        let message = format!(
            "'{}' is not UTF-8; flags and their values are plain text",
            word.to_string_lossy()
        );
        Failure::new(Reason::Usage, message)
    })
}

/// The command whose flags are being typed, for the messages about them.
struct Level {
    command: String,
    flags: &'static [FlagInfo<'static>],
    /// The commands that may follow.
    commands: Vec<&'static str>,
    /// Flags of the other levels, each with its command.
    elsewhere: Vec<(&'static str, String)>,
}

impl Level {
    fn of(words: &[String]) -> Self {
        let mut top = TopLevel::get_args_info();
        let typed = words
            .iter()
            .find(|word| !word.starts_with('-') && *word != "help");
        let commands = top.commands.iter().map(|sub| sub.name).collect();
        let subcommands = std::mem::take(&mut top.commands).into_iter();
        let level = |command: String, flags, commands| Self {
            command,
            flags,
            commands,
            elsewhere: Vec::new(),
        };
        let mut levels = vec![level("ringway".to_owned(), top.flags, commands)];
        levels.extend(subcommands.map(|sub| {
            let command = format!("ringway {}", sub.name);
            level(command, sub.command.flags, Vec::new())
        }));
        let typed = typed.map_or_else(String::new, |word| format!("ringway {word}"));
        let here = levels.iter().position(|level| level.command == typed);
        let mut here = levels.swap_remove(here.unwrap_or(0));
        for level in levels {
            let flags = level.flags.iter();
            here.elsewhere
                .extend(flags.map(|flag| (flag.long, level.command.clone())));
        }
        here
    }

    fn failure(&self, message: &str) -> Failure {
        Failure::usage(&self.command, message)
    }

    /// argh's message, with what mends it.
    fn explain(&self, message: &str) -> String {
        if let Some(word) = message.strip_prefix("Unrecognized argument: ") {
            return self.explain_unknown(word);
        }
        if let Some(flag) = message.strip_prefix("No value provided for option '") {
            let flag = flag.trim_end_matches(['\'', '.']);
            return format!(
                "{flag} takes a value, and none follows; give it as {flag} VALUE or {flag}=VALUE"
            );
        }
        if let Some((flag, rest)) = message
            .strip_prefix("Error parsing option '")
            .and_then(|rest| rest.split_once('\''))
            && rest.ends_with("duplicate values provided")
        {
            return format!("{flag} is given twice; give it once");
        }
        message.to_owned()
    }

    fn explain_unknown(&self, word: &str) -> String {
        let (flag, _) = word.split_once('=').unwrap_or((word, ""));
        if let Some((_, command)) = self.elsewhere.iter().find(|(known, _)| *known == flag) {
            return format!(
                "{flag} belongs to '{command}', not to '{}'; give it there",
                self.command
            );
        }
        let known: Vec<&str> = if flag.starts_with('-') {
            self.flags
                .iter()
                .map(|flag| flag.long)
                .chain(["--help"])
                .collect()
        } else if self.commands.is_empty() {
            return format!(
                "'{flag}' is not a flag, and '{}' takes nothing else; leave it out",
                self.command
            );
        } else {
            self.commands.clone()
        };
        let similar = known
            .iter()
            .map(|known| (strsim::jaro_winkler(flag, known), known));
        match similar.max_by(|(one, _), (other, _)| one.total_cmp(other)) {
            Some((score, known)) if score > 0.8 => {
                format!("'{flag}' is not known; did you mean '{known}'?")
            }
            _ => format!("'{flag}' is not known"),
        }
    }
}

/// Makes two words of every `--flag=value`, as argh wants them.
fn split_values(words: Vec<String>, level: &Level) -> Result<Vec<String>, Failure> {
    let mut split = Vec::with_capacity(words.len());
    for word in words {
        let (name, value) = word.split_once('=').unwrap_or((&word, ""));
        match level.flags.iter().find(|flag| flag.long == name) {
            Some(flag) if word == flag.long => split.push(word),
            Some(flag) if matches!(flag.kind, FlagInfoKind::Switch) => {
                let message = format!("{name} takes no value; give it as {name}");
                return Err(level.failure(&message));
            }
            Some(_) => split.extend([name.to_owned(), value.to_owned()]),
            None => split.push(word),
        }
    }
    Ok(split)
}
