//! `eventflux connectors`: what can be written in `@source`, `@sink` and `@map`.

use eventflux_core::property::nearest;

use crate::args::{ConnectorsArgs, Format};
use crate::context::context;
use crate::exit::Exit;
use crate::output;
use crate::reference::{self, Entry};

/// Lists everything, or explains one name.
pub(crate) fn show(args: &ConnectorsArgs) -> Exit {
    let entries = reference::entries(&context());
    match &args.name {
        None => output::print(&list(&entries, args.format)),
        Some(name) => match explain(name, entries, args.format) {
            Ok(text) => output::print(&text),
            Err(message) => {
                output::print_error(&message);
                Exit::Usage
            }
        },
    }
}

fn list(entries: &[Entry], format: Format) -> String {
    match format {
        Format::Text => reference::list_text(entries),
        Format::Markdown => reference::list_markdown(entries),
        Format::Json => format!("{:#}\n", reference::list_json(entries)),
    }
}

fn explain(name: &str, entries: Vec<Entry>, format: Format) -> Result<String, String> {
    let names: Vec<_> = entries.iter().map(|entry| entry.name).collect();
    let named: Vec<_> = entries.into_iter().filter(|entry| entry.name == name).collect();
    if named.is_empty() {
        let hint = match nearest(name, names.iter().copied()) {
            Some(known) => format!("did you mean '{known}'?"),
            None => "'eventflux connectors' lists them".to_owned(),
        };
        return Err(format!("there is no source, sink or format '{name}'; {hint}"));
    }
    Ok(match format {
        Format::Text => reference::text(&named),
        Format::Markdown => reference::markdown(&named),
        Format::Json => format!("{:#}\n", reference::json(name, &named)),
    })
}
