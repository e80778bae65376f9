"""Everything `textmill up` starts and watches: broker, migrations, workers, API, Flower."""
