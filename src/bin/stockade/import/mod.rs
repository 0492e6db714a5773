//! `stockade import`: takes over catalogue, stock, open orders and used-up limits of another system, from files.

mod apply;
mod dry_run;
mod json;
mod rows;
mod source;
mod summary;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde::de::DeserializeOwned;
use stockade::{ImportedOrder, Sku};

use rows::{LimitRow, SkuRow, StockRow};
use source::{Format, Map, Source, SourceError};
use summary::Summary;

/// Take over the open orders of another system.
///
/// Reads the catalogue first, then stock, open orders, and what members have used up of purchase limits by orders that
/// are closed already. Run again, also after an interruption, it imports what is missing and changes nothing else. No
/// engine may have the directory open.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    /// The data directory; laid out if it is not there.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,

    /// SKUs.
    #[arg(long, value_name = "FILE")]
    catalogue: PathBuf,

    /// Units of each SKU, those of the open orders included.
    #[arg(long, value_name = "FILE")]
    stock: Option<PathBuf>,

    /// Open orders.
    #[arg(long, value_name = "FILE")]
    orders: Option<PathBuf>,

    /// What members have used up of purchase limits by orders that are not in the file of orders.
    #[arg(long, value_name = "FILE")]
    limits: Option<PathBuf>,

    /// How the files are written [default: by their extensions].
    #[arg(long, value_enum)]
    format: Option<Format>,

    /// Check everything and change nothing; the directory is not opened, and need not exist.
    #[arg(long)]
    dry_run: bool,

    /// Stop at the first row that is refused.
    #[arg(long)]
    strict: bool,

    /// Take orders whose deadline has passed, too: they close at once, and a payment still brings them back.
    #[arg(long)]
    allow_overdue: bool,

    /// The name of this import. Under one name the stock of a SKU is set once.
    #[arg(long, value_name = "NAME", default_value = "import")]
    import_id: String,

    /// Print one JSON object in place of the table.
    #[arg(long)]
    json: bool,
}

const HELP: &str = "\
Files (CSV with a header, JSON lines, or a JSON array; amounts in minor units, times in ms since 1970):
  catalogue  id, price [product_id, code, title, on_sale, limit_per_member]
  stock      sku, total
  orders     external_no, member_id, deadline_ms [remark, personal, ext]
             and lines of sku, quantity, price [limit_per_member]:
             in JSON an array `lines`, in CSV one row a line, those of an order together;
             CSV takes name, phone and address in place of personal
  limits     member_id, sku, used

Exit code: 0 when every row is there, 1 when some were refused, 2 when the import can't run or go on.";

/// The rows of a file, and its name.
struct Named<T> {
    path: PathBuf,
    rows: Box<dyn Source<T>>,
}

/// All files, open.
struct Files {
    catalogue: Named<Sku>,
    stock: Option<Named<StockRow>>,
    orders: Option<Named<ImportedOrder>>,
    limits: Option<Named<LimitRow>>,
}

pub(crate) fn run(args: &Args) -> ExitCode {
    let files = match open(args) {
        Ok(files) => files,
        Err(error) => return fail(&error.to_string()),
    };
    let mut summary = Summary::new(args.dry_run, &args.import_id);
    let failure = if args.dry_run {
        dry_run::run(args, files, &mut summary).err().map(|error| error.to_string())
    } else {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_time().build();
        match runtime {
            Ok(runtime) => {
                let imported = runtime.block_on(apply::run(args, files, &mut summary));
                imported.err().map(|error| error.to_string())
            }
            Err(error) => Some(error.to_string()),
        }
    };
    // A reader that has gone (a closed pipe) doesn't change the outcome.
    drop(summary.print(args.json, failure.as_deref()));
    match failure {
        Some(failure) => fail(&failure),
        None if summary.has_problems() => ExitCode::from(1),
        None => ExitCode::SUCCESS,
    }
}

fn fail(what: &str) -> ExitCode {
    eprintln!("error: {what}");
    ExitCode::from(2)
}

/// Opens all files before anything is imported, so that a missing one is noticed first.
fn open(args: &Args) -> Result<Files, SourceError> {
    let catalogue = named(&args.catalogue, |path| {
        let rows = source::open::<SkuRow>(path, args.format, SkuRow::COLUMNS)?;
        Ok(Box::new(Map { rows, map: SkuRow::sku }))
    })?;
    let orders = args
        .orders
        .as_deref()
        .map(|path| named(path, |path| source::open_orders(path, args.format, args.allow_overdue)));
    Ok(Files {
        catalogue,
        stock: plain(args.stock.as_deref(), args.format, StockRow::COLUMNS)?,
        orders: orders.transpose()?,
        limits: plain(args.limits.as_deref(), args.format, LimitRow::COLUMNS)?,
    })
}

fn plain<T: DeserializeOwned + 'static>(
    path: Option<&Path>,
    format: Option<Format>,
    columns: &[&str],
) -> Result<Option<Named<T>>, SourceError> {
    path.map(|path| named(path, |path| source::open(path, format, columns))).transpose()
}

fn named<T>(
    path: &Path,
    open: impl FnOnce(&Path) -> std::io::Result<Box<dyn Source<T>>>,
) -> Result<Named<T>, SourceError> {
    let path = path.to_owned();
    match open(&path) {
        Ok(rows) => Ok(Named { path, rows }),
        Err(source) => Err(SourceError { path, source }),
    }
}

/// The error with everything that caused it, in one line.
fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let source = error.to_string();
        // Some errors say their source themselves.
        if !text.contains(&source) {
            text.push_str(": ");
            text.push_str(&source);
        }
        cause = error.source();
    }
    text
}
