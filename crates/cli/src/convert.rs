//! `eventflux convert`: the SQL that says what a component file says.

use eventflux_engine::components;

use crate::args::ConvertArgs;
use crate::context::context;
use crate::exit::Exit;
use crate::{files, output};

/// Prints the SQL, or reports all that is wrong with the file. What is odd about it goes to standard error.
pub(crate) fn convert(args: &ConvertArgs) -> Exit {
    let source = match files::read(&args.file) {
        Ok(source) => source,
        Err(problem) => {
            output::print_error(&problem);
            return Exit::Usage;
        }
    };
    let path = args.file.display();
    if !components::is_component_file(&source) {
        output::print_error(&format!("{path}: this is no component file (JSON); there is nothing to convert"));
        return Exit::Usage;
    }
    let color = output::has_color();
    match components::convert(source, &context()) {
        Ok((sql, remarks)) => {
            output::note(&remarks.render(color));
            output::print(&format!("-- Converted from {}.\n\n{sql}", path.to_string().escape_debug()))
        }
        Err(mistakes) => {
            output::note(&mistakes.render(color));
            Exit::Usage
        }
    }
}
